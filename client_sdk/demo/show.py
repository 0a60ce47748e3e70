"""How the demo speaks: headings, sentences and tables, in Chinese or English."""

import sys
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from field_schemas.labels import Label
from sync.messages import Outcome

Words = str | tuple[str, str]
"""What is said: the same in both languages, or (Chinese, English)."""
Cell = Words | int

OUTCOMES = {
    Outcome.APPLIED: (("已应用", "applied"), "green"),
    Outcome.MERGED: (("已合并", "merged"), "cyan"),
    Outcome.CONFLICT: (("冲突", "conflict"), "yellow"),
    Outcome.REFUSED: (("退回", "refused"), "red"),
}
"""The verdicts in words, and their colours."""
CHECKED: list[bool] = []
"""Each claim made so far: whether it turned out true."""

# Where no terminal says how wide it is (a log, a CI run), tables get the room they need.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 118)
_language = ["en"]


def speak(language: str) -> None:
    """Speak `zh` or `en` from now on."""
    _language[0] = language


def text(words: Words) -> str:
    """The words in the language that is spoken."""
    return words if isinstance(words, str) else Label(*words).text(_language[0])


def scene(title: Words) -> None:
    """The heading of one part."""
    console.print()
    console.rule(f"[bold]{text(title)}", align="left", style="dim")


def say(words: Words) -> None:
    """A sentence."""
    console.print(text(words))


def check(holds: bool, claim: Words) -> None:
    """One checked claim, with its mark."""
    CHECKED.append(holds)
    mark = Table.grid(padding=(0, 1))
    mark.add_row(" ", "[green]✓[/]" if holds else "[bold red]✗[/]", text(claim))
    console.print(mark)


def table(columns: Sequence[Words], rows: Iterable[Sequence[Cell]], title: Words = "") -> None:
    """A table; numbers stand right. What does not fit goes on in the next line."""
    lines = [[_cell(value) for value in row] for row in rows]
    if title:
        console.print(f"[bold]{text(title)}")
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        numeric = any(line[place] for line in lines) and all(_is_number(line[place]) for line in lines)
        drawn.add_column(text(column), justify="right" if numeric else "left", overflow="fold")
    for line in lines:
        drawn.add_row(*line)
    console.print(drawn)


def _cell(value: Cell) -> str:
    if isinstance(value, Outcome):
        words, style = OUTCOMES[value]
        return f"[{style}]{text(words)}[/]"
    return f"{value:,}" if isinstance(value, int) else text(value)


def _is_number(cell: str) -> bool:
    digits = cell.translate(str.maketrans("", "", ",. −+-"))
    return not cell or (digits[:1].isdigit() and digits.rstrip("BkMs秒").isdigit())
