"""The benchmark's own pages: goals, the table in the docs, and charts that can be read."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.bench.charts import BOTTOM, CHARTS, LEFT, RIGHT, TOP, Chart, svg
from tests.bench.figures import Figure, Goal, Point, figure, keep, kept, left_out
from tests.bench.publishing import BEGIN, END, table, with_block

LINE = [(1.0, 4_000.0), (8.0, 25_000.0), (64.0, 24_000.0)]


@pytest.mark.parametrize(
    ("goal", "value", "base", "reached"),
    [
        (Goal(at_least=25_000), 25_000, 100_000, True),
        (Goal(at_least=25_000), 24_999, 100_000, False),
        (Goal(at_least=25_000, ratio_at_least=0.15), 26_000, 200_000, False),
        (Goal(at_most=250), 251, 100, False),
        (Goal(ratio_at_most=1.2), 120, 100, True),
        (Goal(ratio_at_most=1.2), 121, 100, False),
    ],
)
def test_goal(goal: Goal, value: float, base: float, reached: bool) -> None:
    """A goal is reached when all of its bounds hold, those on the ratio too."""
    assert figure("push", value, "changes/s", "raw", base, goal).reached is reached


def test_table_leaves_points_to_charts() -> None:
    """A figure that is only a point of a chart is not in the table."""
    rows = [
        figure("push", 10, "changes/s", "raw", 20),
        figure("load of 8 devices", 10, "ms", "bare", 20, point=Point("latency", "SQLite p50", 8)),
    ]
    assert [line.split(" | ")[0] for line in table(rows).splitlines()[2:]] == ["| push"]


def test_table_says_what_was_left_out() -> None:
    """What could not be measured stands in the table in words."""
    assert table([left_out("beside Kinto", "", "cannot be run here: no npm")]).splitlines()[2:] == [
        "| beside Kinto | - | cannot be run here: no npm | - |  |"
    ]


def test_block_is_replaced() -> None:
    """Writing the docs replaces what stood between the marks, and nothing else."""
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = with_block(page, "new\n")
    assert once == f"before\n{BEGIN}\nnew\n\n{END}\nafter\n"
    assert with_block(once, "new\n") == once


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.key)
def test_chart_names_everything(chart: Chart) -> None:
    """A chart is well-formed and names its axes and every line in it, titles in Chinese and English."""
    drawn = svg(chart, {series.key: LINE for series in chart.series})
    words = [element.text for element in ElementTree.fromstring(drawn).iter() if element.text]
    for expected in (*chart.title, chart.x_label, chart.y_label, *(series.name for series in chart.series)):
        assert expected in words


def test_chart_without_a_line() -> None:
    """A line without points is neither drawn nor named."""
    chart = CHARTS[0]
    points = {series.key: LINE if series.key == "SQLite" else [] for series in chart.series}
    drawn = svg(chart, points)
    assert drawn.count("<polyline") == 1
    assert "PostgreSQL" not in drawn


def test_chart_keeps_points_inside() -> None:
    """All points of a line lie within the frame, whatever their size."""
    for chart in CHARTS:
        root = ElementTree.fromstring(svg(chart, {series.key: LINE for series in chart.series}))
        dots = [element for element in root.iter() if element.tag.endswith("circle")]
        assert len(dots) == len(LINE) * len(chart.series)
        assert all(LEFT <= float(dot.attrib["cx"]) <= RIGHT for dot in dots)
        assert all(TOP <= float(dot.attrib["cy"]) <= BOTTOM for dot in dots)


def test_figures_keep_their_members() -> None:
    """build/bench.json has name, value, unit, baseline and ratio of each figure first."""
    assert Figure.__struct_fields__[:5] == ("name", "value", "unit", "baseline", "ratio")


def test_newer_run_replaces_all_rows(tmp_path: Path) -> None:
    """A benchmark that ran again replaces all it had measured before, under other names too, and nothing else."""
    path = tmp_path / "bench.json"
    rows = {name: figure(name, 1, "s", "raw", 1) for name in ("old name", "new name", "pull")}
    keep([replace(rows["old name"], benchmark="push")], path)
    keep([replace(rows["pull"], benchmark="pull")], path)
    keep([replace(rows["new name"], benchmark="push")], path)
    assert [row.name for row in kept(path)] == ["new name", "pull"]
