"""Has SQLite silently ignored a part of the write-ahead log?

SQLite takes a log up to the first frame whose checksum fails, and says nothing: right after a crash, when that frame
was never committed; a loss when the log was damaged. A commit frame of the same log further on tells them apart.
Layout: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import struct
from pathlib import Path
from typing import BinaryIO

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = (0x377F0682, 0x377F0683)


def last_commit(log: Path) -> int:
    """The number of frames up to the last commit the log names, 0 for none; -1 where its header is damaged.

    Checksums are not checked: compare with the number of frames SQLite accepts.
    """
    try:
        with log.open("rb") as file:
            return _last_commit(file.read(_HEADER.size), file, log.stat().st_size)
    except FileNotFoundError:
        return 0


def _last_commit(header: bytes, file: BinaryIO, size: int) -> int:
    if size < _HEADER.size:
        return 0
    magic, _, page_size, _, salt1, salt2, sum1, sum2 = _HEADER.unpack(header)
    order = ">" if magic & 1 else "<"
    if magic not in _MAGIC or _checksum(header[:24], order) != (sum1, sum2):
        return -1
    last = 0
    frame_size = _FRAME.size + page_size
    for number in range(1, (size - _HEADER.size) // frame_size + 1):
        file.seek(_HEADER.size + (number - 1) * frame_size)
        _, pages, *salts = _FRAME.unpack(file.read(_FRAME.size))[:4]
        if salts == [salt1, salt2] and pages:
            last = number
    return last


def _checksum(data: bytes, order: str) -> tuple[int, int]:
    a = b = 0
    for x, y in struct.iter_unpack(order + "2I", data):
        a = (a + x + b) & 0xFFFFFFFF
        b = (b + y + a) & 0xFFFFFFFF
    return a, b
