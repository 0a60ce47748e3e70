"""The bytes of a file, read where they are asked for: a film of gigabytes costs no more memory than a photo."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

_FIRST_WINDOW, _WINDOW = 4 * 1024, 1024 * 1024
LONGEST_FIND = 512
"""What is searched for may be so many bytes long: windows overlap by as many."""


class Source(Protocol):
    """A whole file, in memory or not."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes: ...


class Find(msgspec.Struct, frozen=True):
    """Where something was found, and what."""

    start: int
    found: bytes

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.start + len(self.found)


class _Opened:
    """A file that is open. What it holds may change under the reader; its length is that at the opening."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._length = os.fstat(file.fileno()).st_size

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice, /) -> bytes:
        start, stop, _ = part.indices(self._length)
        if stop <= start:
            return b""
        self._file.seek(start)
        return self._file.read(stop - start)


@contextmanager
def opened(source: Path | bytes) -> Iterator[Source]:
    """The bytes of a file; bytes as they are. Raises OSError."""
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        yield _Opened(file)


def search(pattern: re.Pattern[bytes], data: Source, start: int = 0) -> Find | None:
    """The first match of `pattern`, at most LONGEST_FIND bytes long, from `start` on."""
    size = _FIRST_WINDOW
    while start < len(data):
        match = pattern.search(data[start : start + size])
        if match is not None:
            return Find(start + match.start(), match[0])
        if start + size >= len(data):
            return None
        start += size - LONGEST_FIND
        size = min(8 * size, _WINDOW)
    return None


def pieces(data: Source) -> Iterator[bytes]:
    """All of it, some at a time."""
    for at in range(0, len(data), _WINDOW):
        yield data[at : at + _WINDOW]
