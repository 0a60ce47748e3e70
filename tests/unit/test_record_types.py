"""One declaration gives a record type its whole behaviour."""

import math
import uuid
from typing import Annotated, Any, cast

import msgspec
import pytest

from field_schemas.access import FIELD_WORKERS, SUPERVISION, Access, Grant, Role, grants_at, roles_in, with_implied
from field_schemas.codes import CODES
from field_schemas.json_schema import json_schema
from field_schemas.places import Area, Position
from field_schemas.policies import Policy
from field_schemas.record import Field, FieldError, Record, record_type, type_of
from field_schemas.registry import Registry, load_types
from field_schemas.scopes import OF_OWNER, covers, feed_key, in_grid, scopes_of
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from field_schemas.workflow import workflow
from tests.unit.builders import GRID, component

ACCESS = Access(read=FIELD_WORKERS, create=FIELD_WORKERS, write=FIELD_WORKERS)


def declare(**fields: Any) -> type[Record]:
    """A record type made of (annotation, default) fields."""
    cls = msgspec.defstruct("Probe", [(name, *spec) for name, spec in fields.items()], bases=(Record,), kw_only=True)
    made = cast(type[Record], cls)
    return record_type("probe", zh="探", en="Probe", scopes=(OF_OWNER,), access=ACCESS)(made)


def test_standard_types() -> None:
    """The types of the first field day are all there."""
    names = {spec.name for spec in load_types()}
    assert {"unit_grid", "component", "patrol_task", "patrol_shift", "track", "finding", "note"} <= names


@pytest.mark.parametrize("spec", list(load_types()), ids=lambda spec: spec.name)
def test_labels_in_both_languages(spec: Any) -> None:
    """Every type and field of the JSON Schema carries its Chinese and English name and its merge policy."""
    schema = json_schema(spec)
    rows = [schema, *schema["properties"].values()]
    assert all(row["x-label"]["zh"] and row["x-label"]["en"] for row in rows)
    assert set(schema["properties"]) == set(spec.fields)
    assert all(row["x-policy"] in set(Policy) for row in schema["properties"].values())


def test_schema_refers_to_what_it_holds() -> None:
    """Every reference inside a schema can be followed."""
    schema = json_schema(type_of(Component))
    text = msgspec.json.encode(schema).decode()
    for name in ("Position",):
        assert f"#/$defs/{name}" in text
        assert name in schema["$defs"]


def test_round_trip_of_a_record() -> None:
    """A typed record becomes a patch and the patch the same record."""
    spec = type_of(Component)
    made = Component(code="1", kind="0102", grid=GRID, place=Position(114.05, 22.54), condition="worn")
    again = spec.typed(spec.patch_of(made), uuid.UUID(int=5), 3)
    assert (again.code, again.place, again.condition) == (made.code, made.place, "worn")
    assert (again.id, again.version) == (uuid.UUID(int=5), 3)


def test_json_and_messagepack_agree() -> None:
    """The same fields in JSON and in MessagePack have one canonical form."""
    spec = type_of(Component)
    fields = component(installed_at="2026-01-02T03:04:05Z", inspections=2, tags={"add": ["a"]})
    as_json = spec.canonical_patch(msgspec.json.encode(fields), as_json=True)
    as_msgpack = spec.canonical_patch(msgspec.msgpack.encode(fields), as_json=False)
    assert as_json == as_msgpack


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (b'{"colour":1}', "field_unknown"),
        (b'{"kind":7}', "value_invalid"),
        (b'{"kind":"\\ud800"}', "value_invalid"),
        (b'{"place":{"lon":181,"lat":0}}', "value_invalid"),
        (b'{"place":{"lon":1e999,"lat":0}}', "value_invalid"),
        (b'{"place":{"lon":NaN,"lat":0}}', "value_invalid"),
        (b'{"installed_at":"2026-01-02T03:04:05"}', "value_invalid"),
        (b'{"inspections":1e30}', "value_invalid"),
        (b"[]", "value_invalid"),
        (b"{", "value_invalid"),
        (b'{"grid":"12"}', "value_invalid"),
    ],
)
def test_bad_fields(fields: bytes, code: str) -> None:
    """What breaks the declaration is named by its code."""
    with pytest.raises(FieldError) as caught:
        type_of(Component).canonical_patch(fields, as_json=True)
    assert caught.value.code == code


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none(value: float) -> None:
    """MessagePack can carry what JSON cannot; it is refused all the same."""
    with pytest.raises(FieldError):
        type_of(Component).patch({"place": {"lon": value, "lat": 1.0}})


def test_a_workflow_begins_with_the_default() -> None:
    """A default that the workflow does not begin with would refuse every creation."""
    state = Annotated[
        str, Field("状态", "State", Policy.WORKFLOW, workflow("open", ("open", "closed", FIELD_WORKERS)))
    ]
    with pytest.raises(TypeError, match="begins as its default"):
        declare(state=(state, "closed"))


def test_field_needs_words() -> None:
    """A field without labels is noticed when the type is declared."""
    with pytest.raises(TypeError, match="needs Annotated"):
        declare(plain=(int, 0))


def test_limited_field_needs_default() -> None:
    """A field that not everyone may read cannot be required: some receive the record without it."""
    with pytest.raises(TypeError, match="needs a default"):
        declare(secret=(Annotated[str, Field("密", "Secret", read=SUPERVISION)],))


def test_limited_field_is_not_disputed() -> None:
    """A field that not everyone may read cannot be under review: its conflict would show it."""
    secret = Annotated[str | None, Field("密", "Secret", Policy.REVIEW, read=SUPERVISION)]
    with pytest.raises(TypeError, match="would show"):
        declare(secret=(secret, None))


def test_two_types_of_one_name() -> None:
    """Two types cannot share a name."""
    one = declare(a=(Annotated[int, Field("甲", "A")], 0))
    with pytest.raises(ValueError, match="probe"):
        Registry([one, one])


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        ("grid:440304", "grid:440304001001001", True),
        ("grid:440304001", "grid:440304002001001", False),
        ("person:li", "person:li", True),
        ("person:li", "person:lin", False),
        ("dept:cg", "dept:cg2", False),
        ("all:", "all:", True),
        ("grid:440304001001001", "grid:440304", False),
    ],
)
def test_what_a_scope_covers(outer: str, inner: str, expected: bool) -> None:
    """Grid scopes reach what lies within them, all others only themselves."""
    assert covers(outer, inner) is expected


def test_scopes_of_a_record() -> None:
    """A record's scopes follow from its fields and owner; empty fields give none."""
    spec = type_of(Finding)
    assert spec.scopes({"grid": GRID}, "li") == (f"grid:{GRID}", "person:li")
    assert scopes_of((in_grid("grid"),), {"grid": None}, "li") == ()
    assert feed_key(f"grid:{GRID}") == "grid:440304001"


def test_grants_by_time() -> None:
    """A grant holds from its first moment up to but not at its last."""
    grant = Grant("grid:440304", Role.INSPECTOR, 10, 20)
    assert [grant.holds_at(t) for t in (9, 10, 19, 20)] == [False, True, True, False]


def test_no_role_without_grant() -> None:
    """Who has no grant holds only the own things, and over those no role but SELF."""
    held = with_implied(grants_at((), 0), "li")
    assert roles_in(held, ("person:li",)) == {Role.SELF}
    assert roles_in(held, ("grid:440304001",)) == frozenset()


def test_area_has_a_middle() -> None:
    """An area's place is the middle of its bounding box."""
    ring = [(114.0, 22.0), (114.2, 22.0), (114.2, 22.4), (114.0, 22.0)]
    assert Area([ring]).wgs84() == pytest.approx((114.1, 22.2))


@pytest.mark.parametrize("code", list(CODES.values()), ids=list(CODES))
def test_codes_say_what_to_do(code: Any) -> None:
    """Every code has words and advice in both languages."""
    assert all((code.title.zh, code.title.en, code.advice.zh, code.advice.en))
    assert code.name.replace("_", "").isalpha()
