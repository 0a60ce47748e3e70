"""Tables and times for people."""

import datetime as dt
import sys
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

_PIPE_WIDTH = 1_000


def console(to_stderr: bool = False) -> Console:
    """A console as wide as the terminal; into a pipe nothing is cut or wrapped."""
    stream = sys.stderr if to_stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _PIPE_WIDTH, highlight=False)


def show(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; empty cells for None."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console().print(table)


def moment(time_ms: int | None) -> str:
    """A UTC time in ms as local ISO 8601 time, "" for none."""
    if time_ms is None:
        return ""
    return dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC).astimezone().isoformat(sep=" ", timespec="seconds")
