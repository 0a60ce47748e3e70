"""The page docs/command-line.md, written from the commands themselves."""

from collections.abc import Iterator

import click

import gridwalk
from server.cli.root import root_of

WIDTH = 110


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, groups before what is in them."""
    root = root_of(gridwalk.COMMANDS)
    yield "gridwalk", root
    with click.Context(root) as context:
        for name in root.list_commands(context):
            command = root.get_command(context, name)
            assert command is not None
            yield f"gridwalk {name}", command
            if isinstance(command, click.Group):
                yield from ((f"gridwalk {name} {inner}", one) for inner, one in command.commands.items())


def help_of(name: str, command: click.Command) -> str:
    """What `--help` prints, at a fixed width."""
    context = click.Context(command, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH)
    context.help_option_names = ["-h", "--help"]
    return command.get_help(context)


def command_page() -> str:
    """All commands with their help."""
    head = [
        "# Command line",
        "",
        "Every command as `gridwalk COMMAND --help` prints it. Written from the commands by `make docs`.",
        "",
        "Errors are one sentence on standard error that says what to do; the exit code is then 1, and 2 when the",
        "command itself is mistyped. Messages are in Chinese or English: `--lang`, else `GRIDWALK_LANG`, else the",
        "system's language. Settings: `gridwalk settings`. How files become records: [importing](importing.md).",
        "",
    ]
    parts = [f"## {name}\n\n```text\n{help_of(name, command).rstrip()}\n```\n" for name, command in commands()]
    return "\n".join([*head, *parts])
