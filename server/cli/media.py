"""gridwalk media ..."""

from pathlib import Path

import click

from media.errors import StoreUnusable
from server.cli import tables
from server.cli.rechecking import recheck
from server.cli.session import done, known_types, loaded_settings, no_media_store, now_ms, run
from server.cli.words import CommandFailed, many, say
from server.keys import load_or_make_key
from server.media.inventory import Inventory, Kept, Totals
from server.media.parts import Media
from server.media.upkeep import Collection
from server.settings import Settings
from server.storage.database import Database


@click.group()
def media() -> None:
    """Photos and videos on the server 媒体.

    \b
    Example:
      gridwalk media verify
    """


media.add_command(recheck)


@media.command("list")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many of the newest."
)
def list_(limit: int) -> None:
    """The newest files, and what there is altogether 列表.

    Of each file size and type, when and by whom it came, which records name it, and what its checks came to.

    \b
    Example:
      gridwalk media list --limit 100
    """
    settings = loaded_settings().settings
    totals, rows = run(lambda database: _listed(settings, database, limit))
    columns = (say("摘要", "digest"), say("类型", "type"), say("字节", "bytes"), say("收到", "stored"))
    tables.show((*columns, say("上传人", "uploader"), say("记录", "record"), say("结论", "verdict")), rows)
    done(
        f"共 {totals.blobs:,} 个文件，{totals.bytes:,} 字节；另有 {totals.awaited:,} 个已登记、尚未到达。",
        f"{many(totals.blobs, 'file')}, {many(totals.bytes, 'byte')}; {totals.awaited:,} more named, not here yet.",
    )


@media.command()
def collect() -> None:
    """Let go of expired uploads and unnamed files 清理.

    A file goes when no record has named it for media_grace_days. What records name and a database that was restored
    does not know is found in the store. The server does all this by itself every night.

    \b
    Example:
      gridwalk media collect
    """
    settings = loaded_settings().settings
    found = run(lambda database: _collected(settings, database))
    if found is None:
        done("另一个进程正在清理。", "Another process is collecting right now.")
        return
    uploads, files, size = (
        many(found.uploads, "unfinished upload"),
        many(found.blobs, "file"),
        many(found.bytes, "byte"),
    )
    done(
        f"已清理 {found.uploads} 个未完成的上传、{found.blobs} 个文件，共 {found.bytes:,} 字节。",
        f"{uploads} and {files} gone, {size}.",
    )
    if found.found:
        done(
            f"在存储中找回数据库不知道的 {found.found} 个文件。",
            f"{many(found.found, 'file')} found in the store that the database did not know.",
        )


@media.command()
def verify() -> None:
    """Read every file and compare it with its digest 核对.

    Ends with an error where one is missing or damaged. What is missing is stored again when somebody uploads the
    same file; what is damaged comes back from a backup. A file that the database does not know, because that was
    restored, is named too: it is found again when a record names it, and stays until then.

    \b
    Example:
      gridwalk media verify
    """
    settings = loaded_settings().settings
    counted, faulty, strays = run(lambda database: _verified(settings, database))
    for stray in strays:
        click.echo(f"{stray} {say('数据库中没有', 'not in the database')}")
    for kept, fault in faulty:
        words = say("缺失", "missing") if fault == "missing" else say("损坏", "damaged")
        click.echo(f"{kept.digest} {words}")
    if faulty:
        raise CommandFailed(
            f"{counted:,} 个文件中有 {len(faulty):,} 个缺失或损坏；请从备份恢复",
            f"{len(faulty):,} of {many(counted, 'file')} missing or damaged: bring them back from a backup",
        )
    done(f"{counted:,} 个文件全部完好。", f"Nothing missing, nothing damaged: {many(counted, 'file')}.")


def _media(settings: Settings, database: Database) -> Media:
    try:
        return Media(settings, database, known_types(settings), load_or_make_key(Path(settings.key_file)), now_ms)
    except StoreUnusable as error:
        raise no_media_store(error) from error


async def _listed(settings: Settings, database: Database, limit: int) -> tuple[Totals, list[tuple[object, ...]]]:
    inventory = Inventory(database, _media(settings, database).shelf)
    newest = await inventory.newest(limit)
    digests = [kept.digest for kept in newest]
    uploaders, uses = await inventory.uploaders(digests), await inventory.uses(digests)
    rows: list[tuple[object, ...]] = []
    for kept in newest:
        people = ", ".join(uploaders.get(kept.digest, ()))
        file = (kept.digest, kept.media_type, f"{kept.size:,}", tables.moment(kept.stored_ms), people)
        named: list[tuple[object, object]] = [(use.record, use.verdict) for use in uses.get(kept.digest, ())]
        rows += [(*file, *use) for use in named or [(None, None)]]
    return await inventory.totals(), rows


async def _collected(settings: Settings, database: Database) -> Collection | None:
    media_here = _media(settings, database)
    try:
        return await media_here.upkeep.collect()
    finally:
        media_here.close()


async def _verified(settings: Settings, database: Database) -> tuple[int, list[tuple[Kept, str]], list[str]]:
    inventory = Inventory(database, _media(settings, database).shelf)
    counted, faulty = 0, []
    async for kept, fault in inventory.faults():
        counted += 1
        if fault is not None:
            faulty.append((kept, fault))
    return counted, faulty, await inventory.strays()
