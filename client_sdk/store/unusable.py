"""What the machine refuses a store - no room, no such folder, no right to write - told as errors of the SDK."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client_sdk.errors import StorageFull, StoreUnusable

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)


@contextmanager
def machine_errors(path: Path) -> Iterator[None]:
    """Where the machine refuses to open or to write what belongs to the store at `path`, raise StoreUnusable, or
    StorageFull; every other error stays as it is."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code not in _REFUSED:
            raise
        raise _error(path, error, no_room=code == sqlite3.SQLITE_FULL) from error
    except OSError as error:
        raise _error(path, error, no_room=error.errno in _NO_ROOM) from error


def _error(path: Path, error: Exception, *, no_room: bool) -> StoreUnusable:
    if no_room:
        return StorageFull(f"no room for {path}: {error}; nothing of this was stored: make room and try again")
    return StoreUnusable(f"{path} cannot be opened or written: {error}; is there such a folder, may it be written?")
