"""What the demo prints can be read at any width, in both languages."""

import uuid
from collections.abc import Iterator
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console

from client_sdk.demo import show
from client_sdk.demo.words import show_history
from client_sdk.histories import FieldChange, HistoryItem
from field_schemas.record import type_of
from field_schemas.types.component import Component
from sync.messages import Outcome

ROWS = [("路灯 香蜜湖路1639号旁的那一盏高杆灯", 1_234, "Somebody changed the same thing at the same time " * 2)]


@pytest.fixture(params=["zh", "en"])
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    """The language spoken in the test."""
    show.speak(request.param)
    yield request.param
    show.speak("en")


def printed(monkeypatch: pytest.MonkeyPatch, width: int) -> StringIO:
    """What is printed from now on, on a terminal of that width."""
    paper = StringIO()
    monkeypatch.setattr(show, "console", Console(file=paper, width=width, highlight=False))
    return paper


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_table_cuts_nothing(monkeypatch: pytest.MonkeyPatch, language: str, width: int) -> None:
    """Every character of every cell is there, on lines no wider than the terminal, all equally wide."""
    paper = printed(monkeypatch, width)
    show.table((("部件", "component"), ("记录", "records"), ("原因", "why")), ROWS)
    text = paper.getvalue()
    wanted = "".join(str(cell) for cell in (*ROWS[0], "部件" if language == "zh" else "component"))
    assert sorted(set(wanted.replace(" ", "")) - set(text)) == []
    assert "…" not in text
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert len({cell_len(line) for line in text.splitlines() if line.strip()}) == 1


def test_a_counter_shows_what_it_became(monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    """In a history a counter's new value stands with the difference that made it."""
    paper = printed(monkeypatch, 100)
    label = type_of(Component).fields["inspections"].label
    show_history(Component, [changed(FieldChange("inspections", label, 2, changed=True, before=3))], "")
    assert "5 (+2)" in paper.getvalue()
    assert label.text(language) in paper.getvalue()


def test_verdicts_in_words(monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    """A verdict is a word of the language spoken."""
    paper = printed(monkeypatch, 100)
    show.table(("",), [(Outcome.REFUSED,)])
    assert {"zh": "退回", "en": "refused"}[language] in paper.getvalue()


def changed(field: FieldChange) -> HistoryItem:
    """A change of one field by 李娜."""
    return HistoryItem(
        change=uuid.UUID(int=1),
        record=uuid.UUID(int=2),
        type="component",
        user="li.na",
        device=uuid.UUID(int=3),
        at_ms=0,
        error_ms=None,
        wall_ms=None,
        received_ms=0,
        outcome=Outcome.APPLIED,
        code=None,
        reason=None,
        detail=None,
        attention=None,
        base=0,
        version=1,
        deletes=False,
        fields=(field,),
        patch={},
        before={},
    )
