"""gridwalk backup, restore, renew-epoch"""

import asyncio
import datetime as dt
import os
import shlex
import sqlite3
from pathlib import Path

import click
from sqlalchemy.engine import URL, make_url

from server.cli.session import done, loaded_settings, now_ms, prepare, run
from server.cli.words import CommandFailed
from server.renewal import ServersConnected, renew_epoch
from server.settings import Settings
from server.storage.backup import InUse, NotABackup, back_up, put_in_place, refuse_if_used, stage
from server.storage.database import Database, open_database
from sync.ids import uuid7

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("file", type=_FILE)
def backup(file: Path) -> None:
    """Write a copy of the database to the new FILE 备份, while the server runs.

    SQLite only; for PostgreSQL the command to use is printed. The copy holds everything but the server's signing key
    (setting key_file): keep that apart, and safe. With another key all devices sign in again, and receipts given
    before can no longer be checked. The copy holds password hashes; only its owner may read it.

    \b
    Example:
      gridwalk backup /backups/gridwalk-2026-08-01.db
    """
    settings = loaded_settings().settings
    if not settings.on_sqlite:
        command = f"pg_dump --format=custom --file={shlex.quote(str(file))} {_dbname(settings)}"
        raise CommandFailed(f"PostgreSQL 请用：{command}", f"on PostgreSQL use: {command}")
    database = _sqlite_file(settings)
    if not database.exists():
        raise CommandFailed(f"没有数据库 {database}", f"there is no database {database}")
    try:
        back_up(database, file)
    except FileExistsError as error:
        raise CommandFailed(f"{file} 已存在，请换一个文件名", f"{file} exists, choose another name") from error
    except (OSError, sqlite3.Error) as error:
        raise CommandFailed(f"备份失败：{error}", f"the backup failed: {error}") from error
    size = file.stat().st_size / 1_000_000
    done(
        f"已备份到 {file}（{size:.1f} MB）。签名密钥 {settings.key_file} 请另行保存。",
        f"Backed up to {file} ({size:.1f} MB). Keep the signing key {settings.key_file} apart.",
    )


@click.command()
@click.argument("file", type=_FILE)
def restore(file: Path) -> None:
    """Put the backup FILE in the database's place 恢复. Stop the server first.

    SQLite only; for PostgreSQL the commands to use are printed. The database that is replaced is kept beside it. The
    contents get a new epoch: every device notices, fetches afresh, and sends again what the backup lacks.

    Accounts come back as they were too: end again the grants, and revoke again the devices, that were ended and
    revoked since the backup. Who signed in since then signs in again; unsent work stays.

    \b
    Example:
      gridwalk restore /backups/gridwalk-2026-08-01.db
    """
    settings = loaded_settings().settings
    if not settings.on_sqlite:
        dbname = _dbname(settings)
        restoring = f"pg_restore --clean --if-exists --single-transaction {dbname} {shlex.quote(str(file))}"
        command = f"{restoring} && gridwalk renew-epoch"
        raise CommandFailed(
            f"PostgreSQL 请停止服务后用：{command}", f"on PostgreSQL stop the server and use: {command}"
        )
    if not file.exists():
        raise CommandFailed(f"没有文件 {file}", f"there is no file {file}")
    aside = _restore(file, _sqlite_file(settings))
    done(
        f"已从 {file} 恢复，新的数据纪元已生成。" + (f"原数据库保留在 {aside}。" if aside else ""),
        f"Restored from {file}, with a new epoch."
        + (f" The database that was there is now {aside}." if aside else ""),
    )


@click.command("renew-epoch")
def renew() -> None:
    """Tell all devices that the contents were replaced 更换纪元. For PostgreSQL, after pg_restore; and after the
    database was set back in any other way (a snapshot of the machine, a folder copied back, a replica that lagged).

    Every device notices the new epoch, fetches afresh, and sends again what the server lacks. Refused while a server
    is connected. (`gridwalk restore` does this by itself.)

    \b
    Example:
      pg_restore --clean --if-exists --single-transaction --dbname=gridwalk gridwalk.dump && gridwalk renew-epoch
    """
    settings = loaded_settings().settings
    if settings.on_sqlite and _sqlite_file(settings).exists():
        _refuse_used(_sqlite_file(settings))
    run(_renewed)
    done("新的数据纪元已生成。", "The contents have a new epoch.")


async def _renewed(database: Database) -> None:
    try:
        await renew_epoch(database, uuid7(now_ms(), os.urandom))
    except ServersConnected as error:
        raise _server_runs() from error


def _restore(file: Path, database: Path) -> Path | None:
    """Where the database that was there is kept; None where there was none."""
    database.parent.mkdir(parents=True, exist_ok=True)
    existed = database.exists()
    stamp = dt.datetime.fromtimestamp(now_ms() / 1000, dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = database.with_name(f"{database.name}.replaced-{stamp}")
    if existed:
        _refuse_used(database)
    try:
        draft = stage(file, database)
        asyncio.run(_renew_draft(draft))
        put_in_place(draft, database, aside)
    except NotABackup as error:
        raise CommandFailed(f"{file} 不是可用的备份：{error}", f"{file} is no usable backup: {error}") from error
    except InUse as error:
        raise _server_runs() from error
    except OSError as error:
        raise CommandFailed(f"恢复失败：{error}", f"the restore failed: {error}") from error
    return aside if existed else None


async def _renew_draft(draft: Path) -> None:
    # Renewed before it is put in place: a crash in between never leaves old contents under their old epoch.
    database = open_database(f"sqlite:///{draft}")
    try:
        await prepare(database)
        await renew_epoch(database, uuid7(now_ms(), os.urandom))
    finally:
        await database.close()


def _refuse_used(database: Path) -> None:
    try:
        refuse_if_used(database)
    except InUse as error:
        raise _server_runs() from error


def _server_runs() -> CommandFailed:
    return CommandFailed("数据库正在使用，请先停止服务", "the database is in use: stop the server first")


def _sqlite_file(settings: Settings) -> Path:
    return Path(str(make_url(settings.database_url).database))


def _dbname(settings: Settings) -> str:
    """The database for PostgreSQL's own tools, without the password."""
    url: URL = make_url(settings.database_url).set(drivername="postgresql", password=None)
    return f"--dbname={shlex.quote(url.render_as_string())}"
