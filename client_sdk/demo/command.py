"""`gridwalk demo`: one city, and the scenes that play in it."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import click

from client_sdk.demo import (
    absence,
    case,
    evidence,
    losses,
    patrol,
    refusals,
    scopes,
    show,
    trees,
    trust,
    versions,
    wrong_clock,
)
from client_sdk.demo.city import prepare
from client_sdk.demo.stage import Stage, StageError

Scene = Callable[[Stage], Awaitable[None]]
SCENES: Mapping[str, Scene] = {
    "patrol": patrol.play,
    "scopes": scopes.play,
    "case": case.play,
    "refusal": refusals.play,
    "undo": trust.play_undo,
    "wrong-clock": wrong_clock.play,
    "media": evidence.play,
    "receipt": trust.play_receipt,
    "repair": trust.play_repair,
    "restore": losses.play_restore,
    "long-absence": absence.play,
    "lost-phone": losses.play_lost_phone,
    "old-client": versions.play,
}


@click.command()
@click.argument("scenes", metavar="[SCENE]...", nargs=-1, type=click.Choice(list(SCENES)))
@click.option("--components", default=10_000, show_default=True, help="City components in the sample.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the server's and devices' files in this folder.")
@click.pass_context
def main(context: click.Context, scenes: tuple[str, ...], components: int, keep: Path | None) -> None:
    """Show Gridwalk at work: a real server, real devices, no network in between for a while.

    Plays all scenes, or those named, and ends with an error when anything a scene claims is not true. It speaks
    Chinese with `gridwalk --lang zh demo`.

    \b
    patrol        a day offline, an evening of syncing, a conflict, a refusal
    scopes        records and grants that move: what arrives, what is forgotten
    case          a department and its case, and those who take part in it
    refusal       a refused change is assigned, corrected and sent again
    undo          who did what, and taking back a change that went wrong
    wrong-clock   a phone's clock is days off; rights count as of the moment of the work
    media         photos and a film over a bad network, and what the server finds in them
    receipt       the server signs for everything a phone has sent
    repair        a copy that silently broke is found and mended
    restore       the server comes back from an older backup
    long-absence  half a year away: the deleted stays deleted, unsent work arrives
    lost-phone    a phone is lost: quarantine, and a wipe
    old-client    last year's app works on, until it is told to update

    Example: gridwalk demo patrol --components 5000
    """
    began = time.perf_counter()
    show.speak(str(context.find_root().obj))
    with tempfile.TemporaryDirectory(prefix="gridwalk-demo-") as scratch:
        folder = keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        stage = Stage(folder, GRIDWALK_RECORD_TYPES=trees.__name__)
        asyncio.run(_play(stage, scenes or tuple(SCENES), components))
    held, spent = sum(show.CHECKED), time.perf_counter() - began
    if held == len(show.CHECKED):
        show.say((f"\n{held} 项说法全部属实，用时 {spent:.0f} 秒。", f"\nAll {held} claims true, in {spent:.0f} s."))
        return
    wrong = len(show.CHECKED) - held
    show.say((f"\n{wrong} 项说法不属实，{held} 项属实。", f"\n{wrong} claims are not true, {held} are."))
    sys.exit(1)


async def _play(stage: Stage, scenes: tuple[str, ...], components: int) -> None:
    try:
        await prepare(stage, components)
        for name in scenes:
            await SCENES[name](stage)
    except StageError as error:
        show.check(False, str(error))
    finally:
        await stage.stop_server()
