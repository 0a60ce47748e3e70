"""Whether the database, or the disk beneath it, has no room left."""

import errno
import sqlite3

import asyncpg

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def says_no_room(error: BaseException | None) -> bool:
    """Whether `error`, or what it came of, says that nothing more can be written."""
    while error is not None:
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
            return True
        if isinstance(error, asyncpg.DiskFullError) or (isinstance(error, OSError) and error.errno in _NO_ROOM):
            return True
        error = error.__cause__
    return False
