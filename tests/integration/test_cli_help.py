"""The help can be followed by a person, is quick, and the documentation is complete."""

import subprocess
import sys

import click
import pytest

from tests.command_page import commands, help_of
from tests.docs_pages import DOCS

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
