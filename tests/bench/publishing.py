"""Where figures go beside the screen: table and charts of docs/performance.md, and drafts of both in build/."""

import datetime as dt
import os
import platform
from collections.abc import Iterable
from pathlib import Path

from tests.bench.charts import draw
from tests.bench.figures import Figure, goal_words, number

PAGE, PICTURES = Path("docs/performance.md"), Path("docs/pictures")
DRAFTS = Path("build/performance")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def publish(figures: list[Figure], *, write_docs: bool) -> None:
    """Write the drafts, and with `write_docs` the page."""
    draw(figures, DRAFTS)
    block = f"{_measured_where()}\n\n{table(figures)}"
    (DRAFTS / "figures.md").write_text(block)
    if write_docs:
        draw(figures, PICTURES)
        PAGE.write_text(with_block(PAGE.read_text(), block))


def table(figures: Iterable[Figure]) -> str:
    """The figures in Markdown, without those that are points of a chart and nothing else."""
    lines = ["| what | value | baseline | ratio | goal |", "| --- | --- | --- | --- | --- |"]
    for row in figures:
        if row.point is None or row.goal is not None:
            what = row.name if row.remark is None else f"{row.name} ({row.remark})"
            value = "-" if row.value is None else f"{number(row.value)} {row.unit}"
            lines.append(f"| {what} | {value} | {row.baseline} | {number(row.ratio)} | {goal_words(row)} |")
    return "\n".join(lines) + "\n"


def with_block(page: str, block: str) -> str:
    """The page with `block` in place of what stood between the marks. Raises ValueError where a mark is missing."""
    before, after = page.index(BEGIN) + len(BEGIN), page.index(END)
    return f"{page[:before]}\n{block}\n{page[after:]}"


def _measured_where() -> str:
    today = dt.datetime.now(dt.UTC).date().isoformat()
    return (
        f"Written by the benchmark on {today}: {os.cpu_count()} processors, shared by server, database and load; "
        f"Python {platform.python_version()}. "
        "The rows of one benchmark are of one run; hours may lie between two of them."
    )
