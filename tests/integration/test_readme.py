"""What the README tells a new user to type works as typed."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from client_sdk.demo.stage import Stage
from tests.docs_pages import DOCS
from tests.integration.cli import Gridwalk
from tests.photos import Shot, photo

ROOT = DOCS.parent
PASSWORD = "a long password"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def server_commands(page: str, which: str = "gridwalk init") -> Iterator[list[str]]:
    """The commands of the block in which the words `which` are, by which a server is set up, but for serving."""
    (block,) = [block for block in blocks(page, "") if which in block]
    for line in block.splitlines():
        words = line.partition("#")[0].split()
        assert words[0] == "gridwalk"
        if words[1] != "serve":
            yield words[1:]


def set_up(folder: Path, *commands: list[str]) -> None:
    """Carry out `commands` in `folder`, and lay a photo without position there."""
    gridwalk = Gridwalk(folder, GRIDWALK_DATABASE_URL=f"sqlite:///{folder / 'server.db'}")
    gridwalk.environment["GRIDWALK_DATA_DIR"] = str(folder)
    for words in commands:
        secret = ["--password-stdin"] if words[:2] == ["user", "add"] else []
        gridwalk.well(*words, *secret, stdin=PASSWORD + "\n")
    (folder / "IMG_0412.jpg").write_bytes(photo(Shot(position=None)))


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the city of the README, to be copied."""
    folder = tmp_path_factory.mktemp("city")
    set_up(folder, *server_commands("README.md"))
    return folder


def run_script(script: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a Python file in its folder, as a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, script], cwd=script.parent, env=environment, check=False, capture_output=True
    )


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
async def test_readme_as_typed(page: str, tmp_path: Path) -> None:
    """The commands set up a city, and the device's example runs against it."""
    stage = Stage(tmp_path)
    set_up(tmp_path, *server_commands(page))
    (example,) = blocks("README.md", "python")
    try:
        await stage.start_server()
        script = tmp_path / "example.py"
        script.write_text(example.replace("http://127.0.0.1:8440", stage.url), encoding="utf-8")
        done = await asyncio.to_thread(run_script, script)
    finally:
        await stage.stop_server()
    assert done.returncode == 0, done.stderr.decode()


async def run_on_media_page(city: Path, folder: Path, which: str) -> str:
    """What the example of the page about media prints in which the word `which` is, with a photo without position."""
    stage = Stage(folder)
    shutil.copytree(city, folder, dirs_exist_ok=True)
    (example,) = [block for block in blocks("docs/media.md", "python") if which in block]
    try:
        await stage.start_server()
        script = folder / "example.py"
        script.write_text(example.replace("http://127.0.0.1:8440", stage.url), encoding="utf-8")
        done = await asyncio.to_thread(run_script, script)
        assert done.returncode == 0, done.stderr.decode()
        address = done.stdout.decode().splitlines()[-1]
        if address.startswith(stage.url):
            return (await asyncio.to_thread(httpx.get, address)).text
        return done.stdout.decode()
    finally:
        await stage.stop_server()


async def test_device_page_as_typed(city: Path, tmp_path: Path) -> None:
    """The program of the page about the device runs, and prints what the page says."""
    stage = Stage(tmp_path)
    shutil.copytree(city, tmp_path, dirs_exist_ok=True)
    set_up(tmp_path, *server_commands("docs/device.md", "gridwalk user add"))
    (expected,) = blocks("docs/device.md", "text")
    program = "\n\n".join(blocks("docs/device.md", "python"))
    script = tmp_path / "example.py"
    script.write_text(program.replace("http://127.0.0.1:8440", stage.url), encoding="utf-8")
    try:
        await stage.start_server()
        done = await asyncio.to_thread(run_script, script)
    finally:
        await stage.stop_server()
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == expected


async def test_media_page_as_typed(city: Path, tmp_path: Path) -> None:
    """The example of the page about media runs: a photo without position is warned of, and reaches the server."""
    printed = await run_on_media_page(city, tmp_path, "attach")
    assert "照片没有位置" in printed
    assert "IMG_0412.jpg 已送达" in printed


async def test_uploading_by_another_client_as_typed(city: Path, tmp_path: Path) -> None:
    """The example for other clients runs as it stands, and the server has the whole photo then."""
    assert '"state":"complete"' in await run_on_media_page(city, tmp_path, "TusClient")


@pytest.mark.parametrize(
    "page", ["README.md", "README.zh-CN.md", "docs/walkthrough.md", "docs/importing.md", "docs/device.md"]
)
def test_named_files_exist(page: str) -> None:
    """Every file of the project that a page names or links to is there."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:field_schemas|sync|server|client_sdk|tests)/[\w/]*(?:\.py)?)`", text))
    linked = set(re.findall(r"\]\(([\w./-]+)\)", text))
    folder = (ROOT / page).parent
    missing = [name for name in named if not (ROOT / name).exists()]
    missing += [target for target in linked if not (folder / target).exists()]
    assert missing == []
