"""Telling damage to the store's file from everything else that can go wrong."""

import sqlite3
from pathlib import Path

import msgspec

from client_sdk.store.frames import DamagedFrame

UNREADABLE = (sqlite3.DatabaseError, ValueError, msgspec.MsgspecError)
"""What reading a damaged store can raise. SQLite's own error texts may be undecodable: UnicodeDecodeError."""
_CODES = (
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
)
_CODES_AT_WORK = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def speaks_of_damage(error: Exception) -> bool:
    """Whether an error on opening means that the file's content is damaged; not that it is full, read-only, ..."""
    if not isinstance(error, sqlite3.Error):
        return True
    # Errors of the module itself, as for undecodable text, carry no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code & 0xFF in _CODES or code == sqlite3.SQLITE_IOERR_SHORT_READ


def met_damage(error: Exception) -> bool:
    """Whether an operation on a store that opened well met damaged content."""
    if isinstance(error, sqlite3.OperationalError) and "decode" in str(error):
        return True
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _CODES_AT_WORK
    if isinstance(error, msgspec.ValidationError):
        return False
    return isinstance(error, (DamagedFrame, UnicodeDecodeError, msgspec.DecodeError))


def set_aside_name(path: Path, number: int) -> Path:
    """Where the `number`th damaged store at `path` is put."""
    return path.with_name(f"{path.name}.damaged-{number}")


def set_aside_files(path: Path) -> list[Path]:
    """The damaged stores that were put aside, with their logs."""
    beginning = f"{path.name}.damaged-"
    return [file for file in path.parent.iterdir() if file.name.startswith(beginning)]


def suspect_mark(path: Path) -> Path:
    """The file whose presence says that an operation met damage: the next opening rescues."""
    return path.with_name(path.name + ".suspect")
