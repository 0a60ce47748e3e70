"""What commands share: settings, an open database, and errors in the user's words."""

import asyncio
import os
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import click
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from field_schemas.codes import CODES
from field_schemas.registry import Registry, load_types
from media.errors import StoreUnusable, Unavailable
from server.accounts.passwords import PasswordWeak
from server.cli.words import CommandFailed, say
from server.importing.problems import ImportFailed
from server.settings import LoadedSettings, Settings, SettingsError, load_settings
from server.storage.database import Database, open_database
from server.storage.migrate import initialise, migrate, pending
from server.storage.sql import StoreEmpty
from sync.errors import SyncError
from sync.ids import uuid7

T = TypeVar("T")


def now_ms() -> int:
    """UTC milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def loaded_settings() -> LoadedSettings:
    """The settings of this process."""
    try:
        return load_settings(os.environ, Path.cwd())
    except SettingsError as error:
        raise CommandFailed(f"配置有误：{error}", f"a setting is wrong: {error}") from error


def known_types(settings: Settings) -> Registry:
    """The record types, with those of the packages that the settings name."""
    try:
        return load_types(*settings.record_types)
    except ImportError as error:
        raise CommandFailed(
            f"无法载入记录类型包（record_types）：{error}", f"a package of record types cannot be imported: {error}"
        ) from error


def run(work: Callable[[Database], Awaitable[T]]) -> T:
    """Do `work` on the configured database."""
    return asyncio.run(_with_database(loaded_settings().settings, work))


async def _with_database(settings: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    async with database_of(settings) as database:
        await _make_ready(database, settings)
        return await work(database)


@asynccontextmanager
async def database_of(settings: Settings) -> AsyncIterator[Database]:
    """The database of the settings; what goes wrong inside comes out as CommandFailed."""
    # An SQLite file holds password hashes and what people reported: it is nobody else's to read.
    os.umask(0o077)
    try:
        database = open_database(settings.database_url)
        if settings.on_sqlite:
            # Opened in the driver's own thread, a file that cannot be opened would print a traceback there.
            sqlite3.connect(str(make_url(settings.database_url).database)).close()
    except (ValueError, OSError, sqlite3.Error) as error:
        raise no_database(error) from error
    try:
        yield database
    except SyncError as error:
        raise refused(error) from error
    except Unavailable as error:
        raise no_media_store(error) from error
    except ImportFailed as error:
        raise CommandFailed(error.message.zh, error.message.en) from error
    except BrokenPipeError:
        raise
    except StoreEmpty as error:
        raise _not_ready() from error
    except (SQLAlchemyError, OSError) as error:
        raise no_database(error) from error
    finally:
        await database.close()


async def prepare(database: Database) -> None:
    """Bring the database to the present schema and give it a store if it has none."""
    await migrate(database.engine)
    await initialise(database.engine, uuid7(now_ms(), os.urandom))


async def _make_ready(database: Database, settings: Settings) -> None:
    # A file of our own needs no set-up; a shared database is changed by its administrator only.
    if await pending(database.engine):
        if not settings.on_sqlite:
            raise _not_ready()
        await prepare(database)


def no_database(error: BaseException) -> CommandFailed:
    """The database cannot be used, for the reason `error`."""
    what = str(getattr(error, "orig", None) or error).splitlines()[0]
    return CommandFailed(
        f"数据库不可用：{what}；请检查 GRIDWALK_DATABASE_URL",
        f"the database cannot be used: {what}; check GRIDWALK_DATABASE_URL",
    )


def no_media_store(error: StoreUnusable | Unavailable) -> CommandFailed:
    """The store of photos and videos cannot be used, for the reason `error`."""
    return CommandFailed(
        f"媒体存储不可用：{error}；请检查 GRIDWALK_MEDIA_STORE 与 AWS_* 变量",
        f"the media store cannot be used: {error}; check GRIDWALK_MEDIA_STORE and the AWS_* variables",
    )


def _not_ready() -> CommandFailed:
    return CommandFailed(
        "数据库尚未初始化，请先运行 gridwalk init", "the database is not set up: run gridwalk init first"
    )


def refused(error: SyncError) -> CommandFailed:
    """An error of the catalogue in its words."""
    code = CODES.get(error.code)
    if code is None:
        return CommandFailed(error.detail, error.detail)
    if isinstance(error, PasswordWeak):
        zh, en = "；".join(one.zh for one in error.missing), "; ".join(one.en for one in error.missing)
        return CommandFailed(f"{code.title.zh}：{zh}", f"{code.title.en}: {en}")
    return CommandFailed(f"{code.title.zh}：{error.detail}", f"{code.title.en}: {error.detail}")


def done(zh: str, en: str) -> None:
    """Say what was done."""
    click.echo(say(zh, en))


def as_uuid(text: str) -> uuid.UUID:
    """An id as typed."""
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise CommandFailed(f"{text!r} 不是编号（UUID）", f"{text!r} is not an id (UUID)") from error
