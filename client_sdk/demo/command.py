"""`gridwalk demo`: one city, and the scenes that play in it."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import click

from client_sdk.demo import losses, patrol, scopes, show, trust
from client_sdk.demo.city import prepare
from client_sdk.demo.stage import Stage, StageError

Scene = Callable[[Stage], Awaitable[bool]]
SCENES: Mapping[str, Scene] = {
    "patrol": patrol.play,
    "scopes": scopes.play,
    "undo": trust.play_undo,
    "repair": trust.play_repair,
    "restore": losses.play_restore,
    "lost-phone": losses.play_lost_phone,
}


@click.command()
@click.argument("scenes", nargs=-1, type=click.Choice(list(SCENES)))
@click.option("--components", default=20_000, show_default=True, help="City components in the sample.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the server's and devices' files in this folder.")
def main(scenes: tuple[str, ...], components: int, keep: Path | None) -> None:
    """Show Gridwalk at work: a real server, real devices, no network in between for a while.

    Plays all scenes, or those named, and ends with an error when anything a scene claims is not true.

    \b
    patrol      a day offline, an evening of syncing, a conflict, a refusal
    scopes      records and grants that move: what arrives, what is forgotten
    undo        who did what, and taking back a change that went wrong
    repair      a copy that silently broke is found and mended
    restore     the server comes back from an older backup
    lost-phone  a phone is lost: quarantine, and a wipe

    Example: gridwalk demo patrol --components 5000
    """
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="gridwalk-demo-") as scratch:
        folder = keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        held = asyncio.run(_play(Stage(folder), scenes or tuple(SCENES), components))
    show.say(f"\n{'All true' if held else 'Something is wrong'}, in {time.perf_counter() - began:.0f} s.")
    sys.exit(0 if held else 1)


async def _play(stage: Stage, scenes: tuple[str, ...], components: int) -> bool:
    try:
        await prepare(stage, components)
        return all([await SCENES[name](stage) for name in scenes])
    except StageError as error:
        return show.check(False, str(error))
    finally:
        await stage.stop_server()
