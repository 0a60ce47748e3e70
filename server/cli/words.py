"""The language of messages: --lang, else GRIDWALK_LANG, else the locale; Chinese or English."""

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
    found = context.find_root().obj if context else None
    return found if found in LANGUAGES else "en"


def say(zh: str, en: str) -> str:
    """The sentence in the language of the command that runs now."""
    return Label(zh, en).text(language())


class CommandFailed(click.ClickException):
    """The command could not do its work: one sentence that says what to do; exit code 1."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(say(zh, en))

    def show(self, file: object = None) -> None:  # noqa: ARG002
        """Print the sentence on standard error."""
        click.echo(f"gridwalk: {self.message}", err=True)
