"""The demo shows what it claims, in both languages."""

from pathlib import Path

import pytest

from client_sdk.demo.command import SCENES
from tests.integration.cli import Gridwalk

HALF = len(SCENES) // 2


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("language", "scenes", "end"),
    [
        ("zh", list(SCENES)[:HALF], "项说法全部属实"),
        ("en", list(SCENES)[HALF:], "claims true, in "),
    ],
)
def test_every_scene_is_true(tmp_path: Path, language: str, scenes: list[str], end: str) -> None:
    """Every claim of every scene holds, and the demo says so at its end."""
    gridwalk = Gridwalk(tmp_path, GRIDWALK_LANG=language)
    gridwalk.patience_s = 280
    printed = gridwalk.well("demo", *scenes, "--components", "600")
    assert end in printed.splitlines()[-1]
    assert "✗" not in printed


def test_a_scene_that_does_not_exist(tmp_path: Path) -> None:
    """A wrong name is told with the right ones, in the user's language."""
    printed = Gridwalk(tmp_path, GRIDWALK_LANG="zh")("demo", "nothing")
    assert printed.code == 2
    assert "可选：patrol、" in printed.err
