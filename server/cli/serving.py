"""gridwalk serve, init, settings."""

import asyncio
import importlib
from pathlib import Path

import click
import msgspec

from media.errors import StoreUnusable
from server.cli import tables
from server.cli.session import database_of, done, known_types, loaded_settings, no_database, no_media_store, prepare
from server.cli.words import CommandFailed, language, say
from server.keys import KeyFileError, load_or_make_key
from server.settings import Settings
from server.storage.database import DatabaseUnreachable


@click.command()
@click.option("--host", help="Address to listen on. [default: setting host, 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port, 0 for any free one. [default: setting port, 8440]")
def serve(host: str | None, port: int | None) -> None:
    """Start the server 启动服务, until Ctrl-C or SIGTERM.

    Without any set-up it keeps an SQLite file in ./gridwalk-data. See `gridwalk settings` for everything that can
    be configured.

    \b
    Examples:
      gridwalk serve
      GRIDWALK_DATABASE_URL=postgresql://user@host/gridwalk gridwalk serve --host 0.0.0.0
    """
    settings = loaded_settings().settings
    chosen = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = msgspec.structs.replace(settings, **chosen)
    known_types(settings)
    # The application takes a while to import, which `init` and `settings` need not wait for.
    application = importlib.import_module("server.app")
    try:
        application.serve(settings)
    except KeyFileError as error:
        raise CommandFailed(f"签名密钥不可用：{error}", f"the signing key cannot be used: {error}") from error
    except DatabaseUnreachable as error:
        raise no_database(error.__cause__ or error) from error
    except StoreUnusable as error:
        raise no_media_store(error) from error
    except OSError as error:
        address = f"{settings.host}:{settings.port}"
        raise CommandFailed(
            f"无法在 {address} 启动：{error.strerror or error}；可换 --port",
            f"cannot serve at {address}: {error.strerror or error}; try another --port",
        ) from error


@click.command()
def init() -> None:
    """Prepare the database and the signing key 初始化. Doing it again changes nothing.

    Brings a database of an older version to the present one.

    \b
    Example:
      gridwalk init
    """
    settings = loaded_settings().settings
    asyncio.run(_init(settings))
    try:
        load_or_make_key(Path(settings.key_file))
    except (KeyFileError, OSError) as error:
        raise CommandFailed(f"签名密钥不可用：{error}", f"the signing key cannot be used: {error}") from error
    done(
        "已就绪。下一步：gridwalk user add 用户名，然后 gridwalk serve",
        "Ready. Next: gridwalk user add USER, then gridwalk serve",
    )


async def _init(settings: Settings) -> None:
    async with database_of(settings) as database:
        await prepare(database)


@click.command()
def settings() -> None:
    """Show every setting 查看配置, its value and where it comes from.

    Settings come from the file gridwalk.toml (or the one GRIDWALK_CONFIG names), over it from variables such as
    GRIDWALK_PORT. Passwords are masked.

    \b
    Example:
      GRIDWALK_PORT=9000 gridwalk settings
    """
    columns = (say("配置", "setting"), say("值", "value"), say("来源", "from"), say("含义", "meaning"))
    rows = [(row.name, row.value, row.source, row.label.text(language())) for row in loaded_settings().rows()]
    tables.show(columns, rows)
