"""Copies of an SQLite database: taken while servers run, put back when none does."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

_COMPANIONS = ("-wal", "-shm", "-journal")
_PATIENCE_S = 1.0
_PRIVATE = 0o600


class NotABackup(Exception):
    """The file is no database of ours, or a damaged one."""


class InUse(Exception):
    """Another process has the database open."""


def back_up(database: Path, target: Path) -> None:
    """Write a consistent copy of `database` to the new file `target`, readable for its owner only, durably.

    Servers may go on writing. Raises FileExistsError, OSError, sqlite3.Error.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE))
    try:
        with closing(sqlite3.connect(f"file:{_quoted(database)}?mode=ro", uri=True)) as connection:
            connection.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error:
        target.unlink()
        raise
    _sync(target)
    _sync(target.parent)


def stage(backup: Path, database: Path) -> Path:
    """A copy of `backup` beside `database`, to be worked on and put in place. Raises NotABackup, OSError."""
    draft = database.with_name(f"{database.name}.restoring")
    for path in (draft, *_companions(draft)):
        path.unlink(missing_ok=True)
    try:
        _check(backup)
        back_up(backup, draft)
    except sqlite3.Error as error:
        raise NotABackup(str(error)) from error
    return draft


def put_in_place(draft: Path, database: Path, aside: Path) -> None:
    """Make `draft` the database; the file it replaces, if there is one, becomes `aside`. Raises InUse, OSError."""
    with _alone(draft):
        pass
    _sync(draft)
    if not database.exists():
        draft.rename(database)
    else:
        with _alone(database):
            for path, kept in zip(_companions(database), _companions(aside), strict=True):
                with suppress(FileNotFoundError):
                    path.rename(kept)
            database.rename(aside)
            draft.rename(database)
    _sync(database.parent)


def refuse_if_used(database: Path) -> None:
    """Raises InUse where another process has the database open."""
    with _alone(database):
        pass


@contextmanager
def _alone(database: Path) -> Iterator[None]:
    """Hold the database, all of it in its one file. A damaged one cannot be held, nor used by a server."""
    with closing(sqlite3.connect(database, timeout=_PATIENCE_S, isolation_level=None)) as connection:
        try:
            # Only the one and only connection may leave the write-ahead mode.
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise InUse(str(error)) from error
        except sqlite3.DatabaseError:
            pass
        yield


def _check(backup: Path) -> None:
    with closing(sqlite3.connect(f"file:{_quoted(backup)}?mode=ro", uri=True)) as connection:
        ((verdict,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
        if verdict != "ok":
            raise NotABackup(verdict)
        if connection.execute("SELECT count(*) FROM store").fetchone() != (1,):
            raise NotABackup("it holds no store")


def _companions(database: Path) -> list[Path]:
    return [database.with_name(database.name + suffix) for suffix in _COMPANIONS]


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
