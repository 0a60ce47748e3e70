"""The command `gridwalk` itself: finds commands when they are called, speaks one language, shows no traceback."""

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from server.cli.usage import in_language
from server.cli.words import LANGUAGES, CommandFailed, choose_language

TRACEBACK_VARIABLE = "GRIDWALK_TRACEBACK"
_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 118}


class LazyGroup(click.Group):
    """A group whose commands are named in a table of (module:object, one line of help)."""

    def __init__(self, table: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(**settings)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._table:
            return None
        module, _, name = self._table[cmd_name][0].partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] in module:
                raise
            raise CommandFailed(
                f"缺少 Python 包 {error.name}：pip install 'gridwalk[server]'",
                f"the package {error.name} is missing: pip install 'gridwalk[server]'",
            ) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._table.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise in_language(error) from error
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if os.environ.get(TRACEBACK_VARIABLE):
                raise
            raise _unexpected(error) from error


def root_of(table: Mapping[str, tuple[str, str]]) -> click.Group:
    """The command line over a table of commands."""

    def begin(lang: str | None) -> None:
        click.get_current_context().obj = choose_language(lang, os.environ)
        # A pipe or log may be set to ASCII; our words are not.
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")

    option = click.Option(
        ["--lang"],
        type=click.Choice(LANGUAGES),
        help="Language of messages 语言 [default: GRIDWALK_LANG, then the system's]",
    )
    return LazyGroup(
        table,
        name="gridwalk",
        callback=begin,
        params=[option],
        context_settings=_HELP,
        help="Gridwalk: offline-first records for people who walk a city's grid.\n\n"
        "\b\nFirst steps:\n"
        "  gridwalk init                                  a database and a key, in ./gridwalk-data\n"
        "  gridwalk user add li.na --name 李娜             an account\n"
        "  gridwalk grant give li.na inspector grid:440304001\n"
        "  gridwalk serve\n\n"
        "Every command explains itself: gridwalk COMMAND --help",
    )


def _unexpected(error: Exception) -> CommandFailed:
    what = f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]
    return CommandFailed(
        f"意外错误（{what}）。设 {TRACEBACK_VARIABLE}=1 再运行可看到详情",
        f"something unexpected happened ({what}); run it again with {TRACEBACK_VARIABLE}=1 for the details",
    )
