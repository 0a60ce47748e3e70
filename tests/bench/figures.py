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
QUICK_RESULTS = Path("build/bench-quick.json")
_COLUMNS = (
    ("what", "left"),
    ("value", "right"),
    ("unit", "left"),
    ("baseline", "left"),
    ("ratio", "right"),
    ("goal", "left"),
)


class Goal(msgspec.Struct, frozen=True):
    """What a figure is to be: at least or at most so much, itself or its ratio to the baseline."""

    at_least: float | None = None
    at_most: float | None = None
    ratio_at_least: float | None = None
    ratio_at_most: float | None = None

    def __str__(self) -> str:
        parts = [
            sign + f"{bound:,g}" + times
            for sign, bound, times in (
                ("≥ ", self.at_least, ""),
                ("≤ ", self.at_most, ""),
                ("≥ ", self.ratio_at_least, " × baseline"),
                ("≤ ", self.ratio_at_most, " × baseline"),
            )
            if bound is not None
        ]
        return ", ".join(parts)

    def reached(self, value: float, ratio: float) -> bool:
        """Whether all of it holds."""
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
            and (self.ratio_at_least is None or ratio >= self.ratio_at_least)
            and (self.ratio_at_most is None or ratio <= self.ratio_at_most)
        )


class Point(msgspec.Struct, frozen=True):
    """Where a figure stands in a chart (tests.bench.charts)."""

    chart: str
    series: str
    x: float


class Figure(msgspec.Struct, frozen=True):
    """One measured number: `value` in `unit`, its ratio to `baseline`, measured in the same run, and its goal.

    `remark` says what the number alone does not. `point`: it is a point of a chart. What could not be measured here
    has no value, and `baseline` says why. `benchmark` is what measured it, on which database.
    """

    name: str
    value: float | None
    unit: str
    baseline: str
    ratio: float | None
    goal: str | None = None
    reached: bool | None = None
    remark: str | None = None
    point: Point | None = None
    benchmark: str = ""


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


def figure(
    name: str,
    value: float,
    unit: str,
    baseline: str,
    base: float,
    goal: Goal | None = None,
    remark: str | None = None,
    point: Point | None = None,
) -> Figure:
    """A figure with its ratio, and whether it reached its goal."""
    ratio = value / base
    return Figure(
        name,
        round(value, 2),
        unit,
        f"{baseline}: {number(base)} {unit}",
        round(ratio, 3),
        None if goal is None else str(goal),
        None if goal is None else goal.reached(value, ratio),
        remark,
        point,
    )


def left_out(name: str, unit: str, why: str) -> Figure:
    """A row for what could not be measured."""
    return Figure(name, None, unit, why, None)


def number(value: float | None) -> str:
    """A number with as many digits as mean something."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def goal_words(row: Figure) -> str:
    """The goal of a row and whether it was reached."""
    return "" if row.goal is None else f"{row.goal}: {'reached' if row.reached else 'missed'}"


def show(figures: list[Figure]) -> None:
    """Print the figures."""
    table = Table(title="Benchmarks (medians; compare ratios, machines differ)", title_justify="left")
    for column, justify in _COLUMNS:
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for row in figures:
        what = row.name if row.remark is None else f"{row.name} ({row.remark})"
        table.add_row(what, number(row.value), row.unit, row.baseline, number(row.ratio), goal_words(row))
    # Where no terminal says how wide it is, the table gets the room it needs.
    Console(width=None if sys.stdout.isatty() else 150).print(table)


def keep(figures: list[Figure], path: Path) -> None:
    """Put the figures of a benchmark in the place of all that it measured before; those of others stay."""
    before = kept(path)
    new = {row.benchmark for row in figures}
    place = next((at for at, row in enumerate(before) if row.benchmark in new), len(before))
    others = [row for row in before if row.benchmark not in new]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(others[:place] + figures + others[place:])))


def kept(path: Path) -> list[Figure]:
    """All figures that stand in `path`."""
    return msgspec.json.decode(path.read_bytes(), type=list[Figure]) if path.exists() else []
