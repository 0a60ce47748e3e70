"""Cursors: what they hold survives the wire, damage is noticed, and they only ever go forward, to what is settled."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from field_schemas.access import Role
from sync.authority import Actor
from sync.cursor import Cursor, ViewCursor
from sync.errors import SyncError
from sync.memory import MemoryTransaction
from sync.messages import PullRequest
from sync.pull import pull
from sync.storage import FeedEntry, FeedPosition
from tests.unit.builders import NOW, REGISTRY, STREET, Office, actor, component, new_id, supervisor

NUMBERS = st.integers(0, 2**63 - 1)
POSITIONS = st.builds(FeedPosition, NUMBERS, NUMBERS)
VIEWS = st.builds(ViewCursor, POSITIONS, st.text(max_size=8), POSITIONS, NUMBERS, POSITIONS)
SCOPES = st.sampled_from(["grid:440304001", "person:li", "dept:cg", "case:7", "all:"])
CURSORS = st.builds(Cursor, st.uuids(), st.dictionaries(SCOPES, VIEWS), POSITIONS)


def read(text: str) -> Cursor | str:
    """The cursor of a text, or the code it is answered with."""
    try:
        return Cursor.decode(text)
    except SyncError as error:
        return error.code


@given(CURSORS)
def test_a_cursor_survives_the_wire(cursor: Cursor) -> None:
    """What a device keeps and sends back is read as it was given, and is plain text."""
    text = cursor.encode()
    assert read(text) == cursor
    assert text.isascii()


@given(CURSORS, st.data())
def test_a_damaged_cursor_is_noticed(cursor: Cursor, data: st.DataObject) -> None:
    """A text with one character changed, lost or added is the same cursor or none: never another one."""
    text = cursor.encode()
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(["", *"Aa0-_", "é"]))
    damaged = text[:at] + other + text[at + data.draw(st.integers(0, 1)) :]
    assert read(damaged) in (cursor, "cursor_invalid")


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda raw: raw.hex())))
def test_a_foreign_text_is_no_cursor(text: str) -> None:
    """Whatever is no cursor of a server's is answered as such, and by nothing else."""
    assert read(text) == "cursor_invalid"


@given(VIEWS, st.text(max_size=8))
def test_other_roles_read_again_and_forget_nothing_reached(view: ViewCursor, roles: str) -> None:
    """With other roles a view is read from the start, with the same from where it was; how far it had been reached
    stays known."""
    resumed = view.resumed(roles)
    assert resumed.reached == view.reached
    assert resumed == view if roles == view.roles else resumed.position == FeedPosition()


class HeldBack(MemoryTransaction):
    """A view of the store while a writer is open that began after `settled`: nothing past that is settled."""

    settled = FeedPosition()

    async def horizon(self) -> FeedPosition:
        return self.settled

    async def feed(self, key: str, after: FeedPosition, limit: int) -> list[FeedEntry]:
        entries = await super().feed(key, after, 10_000)
        return [entry for entry in entries if entry.position <= self.settled][:limit]


class Reader:
    """A device that pulls while writers are open; checks each cursor it gets against the one before."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.settled = 0
        self.cursor: str | None = None
        self.held: dict[uuid.UUID, int] = {}

    async def pull(self, reader: Actor, limit: int) -> bool:
        tx = HeldBack(self.office.store)
        tx.settled = FeedPosition(0, self.settled)
        page = await pull(tx, REGISTRY, reader, PullRequest(self.cursor, limit), NOW)
        was = Cursor.decode(self.cursor).views if self.cursor else {}
        now = Cursor.decode(page.cursor).views
        assert all(now[view].reached >= was[view].reached for view in was.keys() & now.keys())
        assert all(view.reached <= tx.settled for view in now.values())
        self.cursor = page.cursor
        self.held |= {record.id: record.version for record in page.records}
        return page.more


STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "write", "settle", "pull", "grant"]), st.integers(0, 3)), max_size=30
)
ROLES = [[Role.INSPECTOR], [Role.INSPECTOR, Role.SUPERVISOR], [Role.STEWARD], [Role.INSPECTOR]]


@given(STEPS)
async def test_a_cursor_goes_forward_and_never_past_what_is_settled(steps: list[tuple[str, int]]) -> None:
    """However writes, open transactions, pages and grants follow each other, what a cursor says was reached of a view
    only grows and is settled, and once everything is settled nothing was missed."""
    office, boss, records, versions = Office(), supervisor(), [new_id() for _ in range(4)], [0] * 4
    device, reader = Reader(office), actor("li", (f"grid:{STREET}", Role.INSPECTOR))
    for kind, number in steps:
        if kind == "write":
            fields = component() if not versions[number] else {"inspections": 1}
            verdict = await office.write(boss, "component", records[number], fields, base=versions[number])
            versions[number] = verdict.version
        elif kind == "settle":
            device.settled = max(device.settled, office.store.last_version - number)
        elif kind == "pull":
            await device.pull(reader, number + 1)
        else:
            grants = [(f"grid:{STREET}", role) for role in ROLES[number]]
            reader = actor("li", *grants, device=reader.device)
    device.settled = office.store.last_version
    while await device.pull(reader, 2):
        pass
    assert device.held == {record: version for record, version in zip(records, versions, strict=True) if version}
