"""Peers that run on Node: installed by npm into build/peers, never into the project."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from client_sdk.demo.stage import free_port
from tests.bench.uploads import listening

FOLDER = Path("build/peers")


class PeerMissing(Exception):
    """A peer cannot be run here; the text says why."""


async def install(*packages: str) -> None:
    """Install npm packages, if they are not there. Raises PeerMissing."""
    npm = shutil.which("npm")
    if npm is None:
        raise PeerMissing("npm is not on the PATH")
    if _installed(packages):
        return
    await asyncio.to_thread(_prepare)
    process = await asyncio.create_subprocess_exec(
        npm, "install", "--no-audit", "--no-fund", *packages, cwd=FOLDER, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    if process.returncode:
        raise PeerMissing(f"npm cannot install {' '.join(packages)}: {errors.decode(errors='replace')[-300:]}")


def _installed(packages: Iterable[str]) -> bool:
    return all((FOLDER / "node_modules" / package).is_dir() for package in packages)


def _prepare() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "package.json").write_text('{"private": true}')


@asynccontextmanager
async def running(script: Path, *arguments: str) -> AsyncIterator[str]:
    """The address of a peer: `script` is run from FOLDER, with `arguments` and then a port to listen on."""
    port = free_port()
    copy = shutil.copy(script, FOLDER / script.name)
    process = await asyncio.create_subprocess_exec("node", str(copy), *arguments, str(port))
    try:
        await listening(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()
