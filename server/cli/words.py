"""The language of messages: --lang, else GRIDWALK_LANG, else the locale; Chinese or English."""

import os
from collections.abc import Mapping

import click

from field_schemas.labels import Label

LANGUAGES = ("zh", "en")
_VARIABLES = ("GRIDWALK_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


def choose_language(named: str | None, environ: Mapping[str, str]) -> str:
    """`zh` or `en`, as `named` or as the first variable that is set says."""
    said = named or next((environ[name] for name in _VARIABLES if environ.get(name)), "en")
    return "zh" if said.lower().startswith("zh") else "en"


def language() -> str:
    """The language of the command that runs now."""
    context = click.get_current_context(silent=True)
    root = context.find_root() if context else None
    # Not chosen yet: the command could not be found.
    chosen = root.obj or choose_language(root.params.get("lang"), os.environ) if root else "en"
    return chosen if chosen in LANGUAGES else "en"


def say(zh: str, en: str) -> str:
    """The sentence in the language of the command that runs now."""
    return Label(zh, en).text(language())


def many(count: int, what: str) -> str:
    """`1 file`, `2 files`: a number of things for an English sentence."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


class CommandFailed(click.ClickException):
    """The command could not do its work: one sentence that says what to do; exit code 1."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(say(zh, en))

    def show(self, file: object = None) -> None:  # noqa: ARG002
        """Print the sentence on standard error."""
        click.echo(f"gridwalk: {self.message}", err=True)
