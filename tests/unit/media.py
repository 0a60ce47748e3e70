"""Photos for the phones of tests, and the files these keep."""

import hashlib
import random
from pathlib import Path

from client_sdk.store.media_files import folder_of


def photo(seed: int, size: int = 1_000) -> bytes:
    """Bytes that begin as a JPEG does, other ones for each seed."""
    return b"\xff\xd8\xff\xe0" + random.Random(seed).randbytes(size - 4)


def put(folder: Path, name: str, content: bytes) -> Path:
    """A file as the camera leaves it."""
    path = folder / name
    path.write_bytes(content)
    return path


def digest_of(content: bytes) -> str:
    """As records name it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def kept(folder: Path, user: str = "li") -> set[str]:
    """The files the device keeps."""
    media = folder_of(folder / f"{user}.db")
    return {file.name for file in media.iterdir()} if media.exists() else set()
