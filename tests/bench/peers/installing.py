"""Peers are installed into build/peers, each in a folder of its own, never into the project."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from client_sdk.demo.stage import free_port
from tests.bench.servers import listening

FOLDER = Path("build/peers")
VERSIONS = Path(__file__).parent
_WITHIN_S = 600


class PeerMissing(Exception):
    """A peer cannot be run here; the text says why."""


@asynccontextmanager
async def node_serving(script: str, data: Path, *packages: str) -> AsyncIterator[str]:
    """The address of a server on Node: `script` of this folder, called with the folder of its data and a port.

    The packages are installed before, in the versions of node.txt. Raises PeerMissing.
    """
    folder = await _npm_packages(packages)
    # Where it finds the packages.
    shutil.copy(VERSIONS / script, folder / script)
    await asyncio.to_thread(data.mkdir)
    async with serving("node", script, str(data), "{port}", cwd=folder, log=data.with_suffix(".log")) as url:
        yield url


async def _npm_packages(names: Iterable[str]) -> Path:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise PeerMissing("node and npm are not on the PATH")
    wanted = {line.rpartition("@")[0]: line.rpartition("@")[2] for line in _lines("node.txt")}
    folder = FOLDER / "node"
    await asyncio.to_thread(_write_package_json, folder, wanted)
    if not all(_npm_version(folder, name) == wanted[name] for name in names):
        await run(npm, "install", "--no-audit", "--no-fund", cwd=folder)
    return folder


async def python_environment(name: str) -> Path:
    """Make an environment with the packages of NAME.txt; its programs' folder. Raises PeerMissing."""
    folder, ready = FOLDER / name, FOLDER / name / "ready.txt"
    wanted = "\n".join(_lines(f"{name}.txt"))
    if not ready.exists() or ready.read_text() != wanted:
        await run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder))
        pip = ("-m", "pip", "--python", str(folder / "bin/python"), "install", "--quiet")
        await run(sys.executable, *pip, "--disable-pip-version-check", "-r", str(VERSIONS / f"{name}.txt"))
        ready.write_text(wanted)
    return folder / "bin"


async def run(*words: str, cwd: Path | None = None) -> None:
    """Run a program to its end. When it fails, prints what it said and raises PeerMissing."""
    process = await asyncio.create_subprocess_exec(
        *words, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), _WITHIN_S)
    except TimeoutError as error:
        process.kill()
        raise PeerMissing(f"{_told(words)} did not end") from error
    if process.returncode:
        print(said.decode(errors="replace"), file=sys.stderr)
        raise PeerMissing(f"{_told(words)} failed")


@asynccontextmanager
async def serving(*words: str, cwd: Path, log: Path) -> AsyncIterator[str]:
    """The address of a peer's server: `words`, in which {port} is the port it is to listen on. Raises PeerMissing."""
    port = free_port()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(word.replace("{port}", str(port)) for word in words), cwd=cwd, stdout=output, stderr=output
        )
    try:
        try:
            await listening(port)
        except RuntimeError as error:
            print(await asyncio.to_thread(log.read_text), file=sys.stderr)
            raise PeerMissing(f"{_told(words)} does not start") from error
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _told(words: Sequence[str]) -> str:
    """A program as it may stand on a page: without its folder and most of its arguments."""
    return f"{Path(words[0]).name} {words[1]}"


def _lines(name: str) -> Iterable[str]:
    text = (VERSIONS / name).read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _write_package_json(folder: Path, wanted: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_bytes(msgspec.json.encode({"private": True, "dependencies": wanted}))


def _npm_version(folder: Path, name: str) -> str | None:
    path = folder / "node_modules" / name / "package.json"
    return str(msgspec.json.decode(path.read_bytes())["version"]) if path.exists() else None
