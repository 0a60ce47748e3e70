"""Scopes of every kind: departments, persons, participants of a case; records and grants that move between them."""

import uuid
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from field_schemas.access import FIELD_WORKERS, Access, Grant, Role
from field_schemas.record import Field, Record, record_type
from field_schemas.registry import Registry
from field_schemas.scopes import OF_OWNER, in_dept, in_grid, of_case, of_person
from field_schemas.types.attention import Conflict, Refusal
from sync.authority import Actor
from sync.decision import Submission
from sync.messages import PullRequest
from sync.pull import pull
from sync.push import push
from tests.unit.builders import NOW, Office, actor, new_id

ALL = Access(read=FIELD_WORKERS, create=FIELD_WORKERS, write=FIELD_WORKERS)


@record_type(
    "matter",
    zh="事项",
    en="Matter",
    scopes=(
        in_grid("grid"),
        in_dept("department"),
        of_person("participants"),
        of_case("case"),
        OF_OWNER,
    ),
    access=ALL,
)
class Matter(Record):
    """Lies in scopes of every kind."""

    grid: Annotated[str | None, Field("网格", "Grid")] = None
    department: Annotated[str | None, Field("部门", "Department")] = None
    participants: Annotated[list[str], Field("参与人", "Participants")] = []
    case: Annotated[str | None, Field("案件", "Case")] = None


MATTERS = Registry([Matter, Conflict, Refusal])
PLACES = ["440304001001001", "440304001002001", "440304002001001"]
SCOPES = [
    *("grid:440304", "grid:440304001", "grid:440304002", "grid:440304001001", "grid:440304001001001"),
    *("dept:cg", "dept:hw", "case:7", "person:li", "person:wu"),
]
ROOT = Actor("root", uuid.UUID(int=1), tuple(Grant(scope, Role.SUPERVISOR) for scope in SCOPES))


class Phone:
    """What a device holds after each pull, kept by the rules of the protocol."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.cursor: str | None = None
        self.held: dict[uuid.UUID, tuple[str, ...]] = {}

    async def pull(self, reader: Actor, limit: int = 3) -> None:
        more = True
        while more:
            async with self.office.store.reading() as tx:
                page = await pull(tx, MATTERS, reader, PullRequest(self.cursor, limit), NOW)
            for record in page.records:
                fields = msgspec.msgpack.decode(record.fields)
                self.held[record.id] = MATTERS.get(record.type).scopes(fields, record.owner)
            for gone in page.forget:
                self.held.pop(gone, None)
            covered = {scope.rstrip(":") for scope in page.scopes}
            self.held = {
                one: scopes
                for one, scopes in self.held.items()
                if any(s.startswith(c) for s in scopes for c in covered)
            }
            self.cursor, more = page.cursor, page.more


async def write(office: Office, record: uuid.UUID, fields: dict[str, object], base: int) -> int:
    change = office.change(ROOT, "matter", record, fields, base=base)
    async with office.store.writing() as tx:
        (answer,) = await push(tx, MATTERS, [Submission(ROOT, [change], NOW)])
    assert not isinstance(answer, Exception)
    return answer.verdicts[0].version or base


def expected(office: Office, reader: Actor) -> set[uuid.UUID]:
    """The records a reader may hold, worked out from the stored scopes alone."""
    scopes = [grant.scope for grant in reader.grants] + ([f"person:{reader.user}"] if reader.grants else [])
    held = set()
    for record in office.store.state.records.values():
        if any(
            mine == theirs or (mine.startswith("grid:") and theirs.startswith(mine))
            for mine in scopes
            for theirs in record.scopes
        ):
            held.add(record.id)
    return held


MOVES = st.fixed_dictionaries(
    {},
    optional={
        "grid": st.sampled_from([None, *PLACES]),
        "department": st.sampled_from([None, "cg", "hw"]),
        "participants": st.lists(st.sampled_from(["li", "wu"]), max_size=2, unique=True),
        "case": st.sampled_from([None, "7"]),
    },
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 3), MOVES),
        st.tuples(st.just("grant"), st.lists(st.sampled_from(SCOPES[:8]), max_size=3, unique=True), st.none()),
        st.tuples(st.just("pull"), st.integers(1, 5), st.none()),
    ),
    max_size=25,
)


@given(STEPS)
async def test_a_device_holds_exactly_its_scopes(steps: list[tuple[str, object, dict[str, object]]]) -> None:
    """However records and grants move, after a pull a device holds exactly what lies in its scopes."""
    office, records, versions = Office(), [new_id() for _ in range(4)], [0] * 4
    phone, reader = Phone(office), actor("li", ("grid:440304001", Role.INSPECTOR))
    for kind, what, fields in [*steps, ("pull", 3, {})]:
        if kind == "write":
            assert isinstance(what, int)
            versions[what] = await write(office, records[what], fields, versions[what])
        elif kind == "grant":
            assert isinstance(what, list)
            reader = actor("li", *((scope, Role.INSPECTOR) for scope in what), device=reader.device)
        else:
            assert isinstance(what, int)
            await phone.pull(reader, what)
            assert phone.held.keys() == expected(office, reader)


@pytest.mark.parametrize(
    ("scope", "field", "value"),
    [("dept:cg", "department", "cg"), ("case:7", "case", "7"), ("grid:440304002", "grid", PLACES[2])],
)
async def test_each_kind_of_scope(scope: str, field: str, value: str) -> None:
    """A grant on a department, a case or an area brings its records, and no others."""
    office = Office()
    inside, outside = new_id(), new_id()
    await write(office, inside, {field: value}, 0)
    await write(office, outside, {"grid": PLACES[0]}, 0)
    phone = Phone(office)
    await phone.pull(actor("li", (scope, Role.OFFICER)))
    assert set(phone.held) == {inside}


async def test_participants_come_and_go() -> None:
    """Who joins a matter receives it, who leaves it forgets it."""
    office, matter = Office(), new_id()
    li = actor("li", ("dept:cg", Role.OFFICER))
    phone = Phone(office)
    version = await write(office, matter, {"grid": PLACES[2]}, 0)
    await phone.pull(li)
    assert phone.held == {}
    version = await write(office, matter, {"participants": ["li"]}, version)
    await phone.pull(li)
    assert set(phone.held) == {matter}
    await write(office, matter, {"participants": ["wu"]}, version)
    await phone.pull(li)
    assert phone.held == {}
