"""gridwalk media recheck ..."""

import asyncio
import time

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from field_schemas.media import is_digest
from field_schemas.media_findings import Verdict
from server.cli import tables
from server.cli.session import as_uuid, done, now_ms, run
from server.cli.words import CommandFailed, many, say
from server.media.rechecks import Asked, Rechecks, Wish
from server.storage.database import Database

_LOOK_EVERY_S = 0.5
_PATIENCE_S = 60.0
"""How long nothing may happen before it is likely that no server runs."""


@click.command()
@click.argument("digests", nargs=-1, metavar="[DIGEST]...")
@click.option("--record", help="What this record names.")
@click.option("--verdict", type=click.Choice([one.value for one in Verdict]), help="What came to this verdict.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
def recheck(digests: tuple[str, ...], record: str | None, verdict: str | None, everything: bool) -> None:
    """Have photos and videos checked again 重新核验.

    Those with a DIGEST, of a record, or of a verdict. After the program, its HEIC decoder or its thresholds have
    changed. The running server does it; this shows how far it is, and may be left (Ctrl-C) without harm.

    \b
    Examples:
      gridwalk media recheck --verdict unverified
      gridwalk media recheck sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    """
    chosen = bool(digests or record or verdict)
    if chosen == everything:
        raise click.UsageError(say("请指定摘要、--record、--verdict 或 --all", "say which, or --all"))
    if wrong := [one for one in digests if not is_digest(one)]:
        raise click.UsageError(
            say(
                f"不是摘要：{wrong[0]}（应为 sha256: 加 64 位十六进制数）",
                f"no digest: {wrong[0]} (sha256: and 64 hex digits)",
            )
        )
    wish = Wish(digests, as_uuid(record) if record else None, Verdict(verdict) if verdict else None)
    count = run(lambda database: _recheck(database, wish))
    done(f"已重新核验 {count:,} 项。", f"{many(count, 'check')} done again.")


async def _recheck(database: Database, wish: Wish) -> int:
    rechecks = Rechecks(database, now_ms)
    asked = await rechecks.ask(wish)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=tables.console(to_stderr=True), transient=True) as progress:
        task = progress.add_task(say("核验", "Checking"), total=asked.count)
        left, moved = asked.count, time.monotonic()
        while left:
            await asyncio.sleep(_LOOK_EVERY_S)
            before, left = left, await rechecks.left(asked)
            progress.update(task, completed=asked.count - left)
            if left < before:
                moved = time.monotonic()
            elif time.monotonic() - moved > _PATIENCE_S:
                raise _nobody_does_it(asked, left)
    return asked.count


def _nobody_does_it(asked: Asked, left: int) -> CommandFailed:
    return CommandFailed(
        f"{asked.count:,} 项中还有 {left:,} 项未核验，已一分钟没有进展；服务器运行后会继续",
        f"{left:,} of {many(asked.count, 'check')} left, and nothing moved for a minute: "
        "the server goes on with them when it runs",
    )
