"""Figures, how they are measured, and where they go."""

import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.table import Table

T = TypeVar("T")
RESULTS = Path("build/bench.json")


class Figure(msgspec.Struct, frozen=True):
    """One measured number: `value` in `unit`, and its ratio to `baseline`, measured in the same run."""

    name: str
    value: float
    unit: str
    baseline: str
    ratio: float


async def rate(work: Callable[[T], Awaitable[int]], prepare: Callable[[], T], runs: int = 3) -> float:
    """The median number of things per second that `work` does in `runs` runs.

    `work` gets what `prepare` made, untimed, for that run, and returns how many things it did.
    """
    rates = []
    for _ in range(runs):
        prepared = prepare()
        began = time.perf_counter()
        done = await work(prepared)
        rates.append(done / (time.perf_counter() - began))
    return statistics.median(rates)


def figure(name: str, value: float, unit: str, baseline: str, base: float) -> Figure:
    """A figure with its ratio."""
    return Figure(name, round(value, 2), unit, f"{baseline}: {base:,.0f} {unit}", round(value / base, 3))


def report(figures: list[Figure]) -> None:
    """Print the figures and write RESULTS."""
    table = Table(title="Benchmarks (medians; compare ratios, machines differ)", title_justify="left")
    for column, justify in (
        ("what", "left"),
        ("value", "right"),
        ("unit", "left"),
        ("baseline", "left"),
        ("ratio", "right"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for row in figures:
        table.add_row(
            row.name,
            f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:,.2f}",
            row.unit,
            row.baseline,
            f"{row.ratio:.2f}",
        )
    # Where no terminal says how wide it is, the table gets the room it needs.
    Console(width=None if sys.stdout.isatty() else 130).print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(figures)))
