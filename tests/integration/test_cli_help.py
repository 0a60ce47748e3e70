"""The help can be followed by a person, is quick, and the documentation is complete."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.command_page import commands, help_of
from tests.docs_pages import DOCS
from tests.integration.cli import Gridwalk

COMMANDS = dict(commands())
PAGE = (DOCS / "command-line.md").read_text("utf-8")
HEAVY = ("sqlalchemy", "shapely", "numpy", "litestar", "h3", "rich")


@pytest.mark.parametrize("name", list(COMMANDS))
def test_command_explains_itself(name: str) -> None:
    """Every command says what it does and shows an example; every option says what it is for."""
    command = COMMANDS[name]
    text = help_of(name, command)
    assert name == "gridwalk" or "Example" in text
    options = [param for param in command.params if isinstance(param, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", list(COMMANDS))
def test_command_is_documented(name: str) -> None:
    """docs/command-line.md has every command and every option (else: make docs)."""
    section = PAGE.split(f"## {name}\n", 1)[1].split("\n## ", 1)[0]
    options = [word for param in COMMANDS[name].params for word in param.opts if word.startswith("--")]
    assert [option for option in options if option not in section] == []


def test_help_loads_nothing_heavy() -> None:
    """`gridwalk --help` imports neither database, web nor geometry packages."""
    code = f"import sys, gridwalk\ntry: gridwalk.main()\nfinally: print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, check=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nothing"], "没有命令 'nothing'"),
        (["user", "nothing"], "没有命令 'nothing'"),
        (["serve", "--portt", "1"], "没有选项 --portt；是否指 --port"),
        (["user", "add"], "缺少参数 USER"),
        (["purge", "more"], "命令的参数不对"),
        (["demo", "--components", "x"], "选项 --components 的值不可用"),
        (["serve", "--port"], "选项 --port 的用法不对"),
    ],
)
def test_wrong_words_in_chinese(tmp_path: Path, words: list[str], sentence: str) -> None:
    """In a Chinese session a wrong command line is told in Chinese, with where to read on; exit code 2."""
    printed = Gridwalk(tmp_path, GRIDWALK_LANG="zh")(*words)
    assert printed.code == 2
    assert sentence in printed.err
    assert "--help" in printed.err.splitlines()[-1]


def test_wrong_words_in_english(tmp_path: Path) -> None:
    """In an English session click's own words stay."""
    assert "No such command 'nothing'" in Gridwalk(tmp_path)("nothing").err
