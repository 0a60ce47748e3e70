"""The demo: real devices against a real server process, one scene for each thing worth seeing."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import click

from client_sdk.demo import patrol, show
from client_sdk.demo.stage import Stage, StageError

Scene = Callable[[Stage, int], Awaitable[bool]]
SCENES: Mapping[str, Scene] = {"patrol": patrol.play}


@click.command()
@click.argument("scenes", nargs=-1, type=click.Choice(list(SCENES)))
@click.option("--components", default=20_000, show_default=True, help="City components in the sample.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the server's and devices' files in this folder.")
def main(scenes: tuple[str, ...], components: int, keep: Path | None) -> None:
    """Show Gridwalk at work: a real server, real devices, no network in between for a while.

    Plays all scenes, or those named, and ends with an error when anything a scene claims is not true.

    \b
    Example: gridwalk demo patrol --components 5000
    """
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="gridwalk-demo-") as scratch:
        folder = keep or Path(scratch)
        held = []
        for name in scenes or SCENES:
            (folder / name).mkdir(parents=True, exist_ok=True)
            held.append(asyncio.run(_play(SCENES[name], folder / name, components)))
    show.say(f"\n{'All true' if all(held) else 'Something is wrong'}, in {time.perf_counter() - began:.0f} s.")
    sys.exit(0 if all(held) else 1)


async def _play(scene: Scene, folder: Path, components: int) -> bool:
    stage = Stage(folder)
    try:
        return await scene(stage, components)
    except StageError as error:
        return show.check(False, str(error))
    finally:
        await stage.stop_server()
