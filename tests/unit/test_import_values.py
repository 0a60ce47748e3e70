"""Cells of files become values of the fields' types."""

import datetime as dt
import zoneinfo
from typing import Any

import pytest

from field_schemas.registry import load_types
from server.importing.converting import converter
from server.importing.problems import RowProblem
from server.place_fields import field_types

REGISTRY = load_types()
SHANGHAI = zoneinfo.ZoneInfo("Asia/Shanghai")


def convert(type_name: str, field: str, cell: Any, zone: dt.tzinfo | None = None) -> Any:
    spec = REGISTRY.get(type_name)
    workflow = spec.fields[field].workflow
    return converter(field, field_types(spec)[field], workflow.states() if workflow else (), zone)(cell)


@pytest.mark.parametrize(
    ("type_name", "field", "cell", "value"),
    [
        ("component", "code", 1076, "1076"),
        ("component", "code", 1076.0, "1076"),
        ("component", "code", "  A1 ", "A1"),
        ("component", "material", "   ", None),
        ("component", "material", None, None),
        ("finding", "text", "", ""),
        ("component", "inspections", "12", 12),
        ("component", "inspections", "12.0", 12),
        ("component", "inspections", "", None),
        ("component", "condition", "GOOD", "good"),
        ("finding", "state", "Closed", "closed"),
        ("component", "tags", "a; b;;c", ["a", "b", "c"]),
        ("component", "tags", '["a;b","c"]', ["a;b", "c"]),
        ("component", "tags", ["a", 1], ["a", "1"]),
        ("component", "installed_at", "2004-02-13T00:00:00.000Z", "2004-02-13T00:00:00+00:00"),
        ("component", "installed_at", "2016/08/10 14:06:05+00", "2016-08-10T14:06:05+00:00"),
        ("component", "installed_at", "2016-08-10T14:06:05+08:00", "2016-08-10T06:06:05+00:00"),
        ("component", "installed_at", 1470837965000, "2016-08-10T14:06:05+00:00"),
        ("component", "installed_at", 1470837965, "2016-08-10T14:06:05+00:00"),
        ("finding", "component", "", None),
    ],
)
def test_cell_becomes_value(type_name: str, field: str, cell: Any, value: Any) -> None:
    """A cell reads as the field's type, whether text or JSON; blanks say nothing."""
    assert convert(type_name, field, cell) == value


def test_time_without_zone_takes_the_named_one() -> None:
    """A time that names no zone is of the zone given for the file, also a bare date."""
    assert convert("component", "installed_at", "2016-08-10", SHANGHAI) == "2016-08-09T16:00:00+00:00"


@pytest.mark.parametrize(
    ("field", "cell", "words"),
    [
        ("condition", "broken", "one of"),
        ("inspections", "many", "whole number"),
        ("inspections", "1.5", "whole number"),
        ("inspections", "inf", "whole number"),
        ("installed_at", "yesterday", "ISO 8601"),
        ("installed_at", "2016-08-10 10:00", "--timezone"),
        ("installed_at", True, "ISO 8601"),
        ("tags", '["a"', "JSON"),
    ],
)
def test_wrong_cell_is_a_problem_in_words(field: str, cell: Any, words: str) -> None:
    """A cell that is no value of the type is refused, naming field, cell and what would do."""
    with pytest.raises(RowProblem, match=words) as caught:
        convert("component", field, cell)
    assert (caught.value.field, caught.value.code) == (field, "value_invalid")
