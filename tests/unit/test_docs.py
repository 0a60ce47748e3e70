"""The documentation says what the code does."""

import re
import sys
import types
from typing import Any

import msgspec
import pytest

import sync.messages
from field_schemas.access import Role
from field_schemas.record import Record, type_of
from field_schemas.registry import load_types
from sync.clock import Captured
from sync.decision import Submission
from sync.messages import Outcome, PullRequest
from sync.pull import pull
from sync.push import push
from sync.receipts import Receipt
from tests.docs_pages import DOCS, PAGES
from tests.unit.builders import GRID, Office, actor, new_id

MESSAGES: list[Any] = [
    item for item in vars(sync.messages).values() if isinstance(item, type) and issubclass(item, msgspec.Struct)
]


@pytest.mark.parametrize("name", list(PAGES))
def test_written_pages_are_current(name: str) -> None:
    """A page written from the code is what the code would write now (else: make docs)."""
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name]()


@pytest.mark.parametrize("message", [*MESSAGES, Captured, Receipt], ids=lambda message: message.__name__)
def test_protocol_names_every_field(message: Any) -> None:
    """The protocol page names every message and each of its fields."""
    page = (DOCS / "protocol.md").read_text(encoding="utf-8")
    missing = [name for name in message.__struct_fields__ if f"`{name}`" not in page]
    assert message.__name__ in page
    assert missing == []


@pytest.mark.parametrize("word", [*Outcome])
def test_protocol_names_every_outcome(word: str) -> None:
    """The protocol page names every outcome."""
    assert f"`{word}`" in (DOCS / "protocol.md").read_text(encoding="utf-8")


def example_module() -> types.ModuleType:
    """The declaration in the how-to, as a module of somebody's own package."""
    page = (DOCS / "adding-a-record-type.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    module = types.ModuleType("city_types")
    sys.modules["city_types"] = module
    exec(compile(source, "adding-a-record-type.md", "exec"), module.__dict__)
    return module


async def test_declared_type_syncs() -> None:
    """The type declared in the how-to syncs by its declaration alone."""
    tree: type[Record] = example_module().StreetTree
    registry = load_types("city_types")
    assert len(list(registry)) == len(list(load_types())) + 1
    office = Office()
    li = actor("li", ("grid:440304001", Role.INSPECTOR))
    fields = {"grid": GRID, "place": {"lon": 114.0, "lat": 22.5}, "species": "榕树"}
    change = office.change(li, type_of(tree).name, new_id(), fields)
    async with office.store.writing() as tx:
        await push(tx, registry, [Submission(li, [change], office.now)])
    async with office.store.reading() as tx:
        page = await pull(tx, registry, li, PullRequest(), office.now)
    (record,) = page.records
    assert type_of(tree).typed(bytes(record.fields), record.id, record.version).species == "榕树"  # type: ignore[attr-defined]


def test_guarantees_name_tests_that_exist() -> None:
    """Every test that the page of guarantees names is there."""
    page = (DOCS / "guarantees.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    missing = [name for path, name in named if f"def {name}" not in (DOCS.parent / path).read_text(encoding="utf-8")]
    assert named
    assert missing == []
