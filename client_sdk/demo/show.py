"""How the demo speaks: headings, sentences and tables."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

# Where no terminal says how wide it is (a log, a CI run), tables get the room they need.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 118)

OUTCOME_STYLE = {"applied": "green", "merged": "cyan", "conflict": "yellow", "refused": "red"}


def scene(title: str) -> None:
    """The heading of one part."""
    console.print()
    console.rule(f"[bold]{title}", align="left", style="dim")


def say(text: str) -> None:
    """A sentence."""
    console.print(text)


def check(holds: bool, text: str) -> bool:
    """One checked claim, with its mark."""
    console.print(f"  {'[green]✓[/]' if holds else '[bold red]✗[/]'} {text}")
    return holds


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """A table; numbers stand right."""
    lines = [[_cell(value) for value in row] for row in rows]
    drawn = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for place, column in enumerate(columns):
        numeric = all(_is_number(line[place]) for line in lines)
        drawn.add_column(column, justify="right" if numeric else "left")
    for line in lines:
        drawn.add_row(*line)
    console.print(drawn)


def _cell(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = str(value)
    style = OUTCOME_STYLE.get(text)
    return f"[{style}]{text}[/]" if style else text


def _is_number(text: str) -> bool:
    return text[:1].isdigit() and text.replace(",", "").replace(".", "").replace(" ", "").rstrip("BkMs").isdigit()
