"""Line charts of measured points as SVG: readable in light and dark, titled in Chinese and English."""

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

import msgspec

from tests.bench.figures import Figure

WIDTH, HEIGHT = 760, 444
LEFT, RIGHT, TOP, BOTTOM = 76, 736, 84, 336
_LEGEND_Y, _LEGEND_STEP, _LEGEND_LINE = 400, 340, 22
_LEGEND_COLUMNS = 2
_MOST_STEPS = 8
_STYLE = """
  .back { fill: #ffffff } text { fill: #1f2328 } .soft { fill: #59636e } .grid { stroke: #d1d9e0 }
  .line { fill: none; stroke-width: 2.2 } .thin { stroke-dasharray: 6 4 }
  .c0 { stroke: #0969da } .d0 { fill: #0969da } .c1 { stroke: #bc4c00 } .d1 { fill: #bc4c00 }
  .c2 { stroke: #1a7f37 } .d2 { fill: #1a7f37 } .c3 { stroke: #8250df } .d3 { fill: #8250df }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } text { fill: #f0f6fc } .soft { fill: #9198a1 } .grid { stroke: #3d444d }
    .c0 { stroke: #58a6ff } .d0 { fill: #58a6ff } .c1 { stroke: #f0883e } .d1 { fill: #f0883e }
    .c2 { stroke: #3fb950 } .d2 { fill: #3fb950 } .c3 { stroke: #bc8cff } .d3 { fill: #bc8cff }
  }
"""


class Series(msgspec.Struct, frozen=True):
    """A line: its key in the points, its name for people, its colour (0 to 3), and whether it is dashed."""

    key: str
    name: str
    colour: int
    dashed: bool = False


class Chart(msgspec.Struct, frozen=True):
    """What is drawn, and the words around it; the x axis is logarithmic, the y axis where `log_y` says so."""

    key: str
    file: str
    title: tuple[str, str]
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_y: bool = False


CHARTS = (
    Chart(
        "throughput",
        "load-throughput.svg",
        ("负载与吞吐量：每次推送 100 条更改", "Throughput over load: pushes of 100 changes"),
        "同时推送的设备 devices that push at once",
        "每秒更改 changes/s",
        (
            Series("PostgreSQL", "PostgreSQL", 0),
            Series("SQLite", "SQLite", 1),
            Series("PostgreSQL bare", "PostgreSQL 无规则 no rules", 0, dashed=True),
            Series("SQLite bare", "SQLite 无规则 no rules", 1, dashed=True),
        ),
    ),
    Chart(
        "latency",
        "load-latency.svg",
        ("负载与延迟：每次推送 100 条更改，落盘后应答", "Latency over load: pushes of 100 changes, durable"),
        "同时推送的设备 devices that push at once",
        "毫秒 ms",
        (
            Series("PostgreSQL p50", "PostgreSQL p50", 0),
            Series("PostgreSQL p99", "PostgreSQL p99", 0, dashed=True),
            Series("SQLite p50", "SQLite p50", 1),
            Series("SQLite p99", "SQLite p99", 1, dashed=True),
        ),
        log_y=True,
    ),
    Chart(
        "growth",
        "growth.svg",
        ("库存记录数与每条更改的处理器时间", "Processor time a change while the store grows"),
        "库中记录 records in the store",
        "微秒 µs/change",
        (
            Series("PostgreSQL creations", "PostgreSQL 新增 new", 0),
            Series("PostgreSQL updates", "PostgreSQL 修改 changed", 0, dashed=True),
            Series("SQLite creations", "SQLite 新增 new", 1),
            Series("SQLite updates", "SQLite 修改 changed", 1, dashed=True),
        ),
    ),
)

Points = list[tuple[float, float]]


def draw(figures: Iterable[Figure], folder: Path) -> list[Path]:
    """Write the charts that `figures` have points for; where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for row in figures if row.point]
    written = []
    for chart in CHARTS:
        points = {series.key: _points(rows, chart.key, series.key) for series in chart.series}
        if any(points.values()):
            (path := folder / chart.file).write_text(svg(chart, points))
            written.append(path)
    return written


def _points(rows: Iterable[Figure], chart: str, series: str) -> Points:
    found = ((row.point, row.value) for row in rows)
    return sorted((p.x, y) for p, y in found if p and y is not None and (p.chart, p.series) == (chart, series))


def svg(chart: Chart, points: dict[str, Points]) -> str:
    """The picture. `points` of each series, by x; all numbers positive."""
    every = [point for line in points.values() for point in line]
    xs = sorted({x for x, _ in every})
    x_at = _log_scale(xs[0], xs[-1], LEFT + 12, RIGHT - 12)
    ticks = _log_ticks([y for _, y in every]) if chart.log_y else _ticks(max(y for _, y in every))
    scale = _log_scale if chart.log_y else _scale
    y_at = scale(ticks[0], ticks[-1], BOTTOM, TOP)
    parts = [
        *_frame(chart),
        *(_y_tick(value, y_at(value)) for value in ticks),
        *(_text(x_at(x), BOTTOM + 20, _short(x), "soft", "middle") for x in xs),
        *(_line(one, [(x_at(x), y_at(y)) for x, y in points[one.key]]) for one in chart.series),
        *_legend([one for one in chart.series if points[one.key]]),
    ]
    return "\n".join([*parts, "</svg>", ""])


def _frame(chart: Chart) -> list[str]:
    chinese, english = chart.title
    middle = (TOP + BOTTOM) / 2
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        ' font-family="system-ui, \'Noto Sans CJK SC\', sans-serif" font-size="13">',
        f"<title>{escape(chinese)} {escape(english)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text x="20" y="30" font-size="17" font-weight="600">{escape(chinese)}</text>',
        f'<text x="20" y="52" font-size="14" class="soft">{escape(english)}</text>',
        _text((LEFT + RIGHT) / 2, BOTTOM + 42, chart.x_label, "soft", "middle"),
        f'<text class="soft" text-anchor="middle" transform="translate(18 {middle:g}) rotate(-90)">'
        f"{escape(chart.y_label)}</text>",
    ]


def _y_tick(value: float, y: float) -> str:
    return f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>{_text(LEFT - 8, y + 4, _short(value), "soft", "end")}'


def _line(series: Series, points: Points) -> str:
    if not points:
        return ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle class="d{series.colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.4"/>' for x, y in points)
    return f'<polyline class="{_line_class(series)}" points="{path}"/>{dots}'


def _line_class(series: Series) -> str:
    return f"line c{series.colour}{' thin' if series.dashed else ''}"


def _legend(shown: Sequence[Series]) -> list[str]:
    parts = []
    for number, series in enumerate(shown):
        x = LEFT + 12 + number % _LEGEND_COLUMNS * _LEGEND_STEP
        y = _LEGEND_Y + number // _LEGEND_COLUMNS * _LEGEND_LINE
        parts.append(f'<path class="{_line_class(series)}" d="M{x} {y}h26"/>{_text(x + 32, y + 4, series.name)}')
    return parts


def _text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'


def _scale(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    return lambda value: first + (value - low) / (high - low) * (last - first)


def _log_scale(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    linear = _scale(math.log(low), math.log(high) if high > low else math.log(low) + 1, first, last)
    return lambda value: linear(math.log(value))


def _ticks(highest: float) -> list[float]:
    """From 0 to `highest` or above, in round steps."""
    size = 10.0 ** math.floor(math.log10(highest))
    step = next(size * part for part in (0.1, 0.2, 0.5, 1, 2) if highest / (size * part) <= _MOST_STEPS)
    return [step * number for number in range(math.ceil(highest / step) + 1)]


def _log_ticks(values: Sequence[float]) -> list[float]:
    """Powers of ten, and halves between them, around all values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    ticks = [base * 10.0**power for power in range(low, high) for base in (1, 2, 5)] + [10.0**high]
    first = max(number for number, tick in enumerate(ticks) if tick <= min(values))
    last = min(number for number, tick in enumerate(ticks) if tick >= max(values))
    return ticks[first : last + 1]


def _short(value: float) -> str:
    """A number as it fits beside an axis: 25k, 2M."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
