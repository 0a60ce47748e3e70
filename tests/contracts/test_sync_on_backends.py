"""Push and pull on every backend: what they promise does not depend on where the records are kept."""

import pytest

from sync.decision import Submission
from sync.errors import SyncError
from sync.messages import Outcome, PushResponse
from sync.push import push
from sync.storage import Store
from tests.unit.builders import GRID, REGISTRY, Office, component, inspector, new_id, supervisor


@pytest.fixture
def office(store: Store) -> Office:
    return Office(store)


async def test_create_and_pull(office: Office) -> None:
    """What one inspector creates, another of the same street receives, and nobody of another street."""
    record = new_id()
    verdict = await office.write(inspector("li"), "component", record, component())
    page = await office.read(inspector("wang"))
    assert verdict.outcome is Outcome.APPLIED
    assert [(item.id, item.version) for item in page.records] == [(record, verdict.version)]
    assert (await office.read(inspector("zhao", "grid:440304002"))).records == []


async def test_merge(office: Office) -> None:
    """Concurrent writes of one field merge by its policy."""
    li, wang, record = inspector("li"), inspector("wang"), new_id()
    seen = (await office.write(li, "component", record, component())).version
    await office.write(li, "component", record, {"inspections": 1}, base=seen)
    verdict = await office.write(wang, "component", record, {"inspections": 1}, base=seen)
    assert verdict.outcome is Outcome.MERGED
    assert (await office.fields(record))["inspections"] == 2


async def test_conflict(office: Office) -> None:
    """A conflict holds the value both started from, which the log still has, and goes to the supervisor."""
    li, wang, record = inspector("li"), inspector("wang"), new_id()
    seen = (await office.write(li, "component", record, component(condition="good"))).version
    await office.write(li, "component", record, {"condition": "worn"}, base=seen)
    verdict = await office.write(wang, "component", record, {"condition": "damaged"}, base=seen)
    assert verdict.outcome is Outcome.CONFLICT
    (conflict,) = [item.id for item in (await office.read(supervisor())).records if item.type == "conflict"]
    (row,) = (await office.fields(conflict))["differences"]
    assert (row["base"], row["standing"], row["offered"]) == ("good", "worn", "damaged")
    assert (row["field"], row["standing_by"]) == ("condition", "li")


async def test_refusal(office: Office) -> None:
    """A refused change is answered, logged and turned into a refusal record; the next one is applied."""
    li, record = inspector("li"), new_id()
    refused = await office.write(li, "component", record, {"kind": "0102"})
    applied = await office.write(li, "component", record, component())
    assert (refused.outcome, refused.code, applied.outcome) == (Outcome.REFUSED, "field_missing", Outcome.APPLIED)
    async with office.store.reading() as tx:
        assert [change.id for change in await tx.history(record)] == [refused.change, applied.change]
    assert refused.attention in {item.id for item in (await office.read(li)).records}


async def test_forget_on_a_move(office: Office) -> None:
    """A record that moves to another street is forgotten in the first and arrives in the second."""
    li, wang, record = inspector("li"), inspector("wang", "grid:440304002"), new_id()
    seen = (await office.write(li, "component", record, component())).version
    li_page, wang_page = await office.read(li), await office.read(wang)
    await office.write(supervisor(), "component", record, {"grid": "440304002" + GRID[9:]}, base=seen)
    assert (await office.read(li, li_page.cursor)).forget == [record]
    assert [item.id for item in (await office.read(wang, wang_page.cursor)).records] == [record]


async def test_duplicates_get_the_same_verdict(office: Office) -> None:
    """A batch sent again gets the same verdicts, refusals included, and happens once."""
    li, record = inspector("li"), new_id()
    batch = [
        office.change(li, "component", record, component()),
        office.change(li, "component", record, {"inspections": 1}, base=1),
        office.change(li, "no such type \x00", new_id(), {}),
    ]
    first = await office.submit(li, *batch)
    again = await office.submit(li, *batch)
    assert isinstance(first, PushResponse)
    assert isinstance(again, PushResponse)
    facts = [
        [(verdict.outcome, verdict.version, verdict.attention) for verdict in a.verdicts] for a in (first, again)
    ]
    assert facts[0] == facts[1]
    assert again.held == 3
    assert (await office.fields(record))["inspections"] == 1


async def test_a_push_for_contents_that_were_replaced_is_not_taken(store: Store) -> None:
    """What a device sent before a restore is not decided when it arrives after it: the answer would reach nobody."""
    office, li = Office(store), inspector("li")
    sent = office.change(li, "component", new_id(), component())
    before = (await office.read(li)).epoch
    async with store.writing() as tx:
        await tx.renew(new_id(), 1_000)
    async with store.writing() as tx:
        (answer,) = await push(tx, REGISTRY, [Submission(li, [sent], office.now, epoch=before)])
    assert isinstance(answer, SyncError)
    assert answer.code == "epoch_changed"
    held = await office.submit(li)
    assert isinstance(held, PushResponse)
    assert (held.held, (await office.read(li)).records) == (0, [])


async def test_delta_in_pages(office: Office) -> None:
    """Pages of any size together give every record once, and then only what changed since."""
    li, ids = inspector("li"), [new_id() for _ in range(7)]
    await office.submit(li, *(office.change(li, "component", record, component()) for record in ids))
    page = await office.read(li, limit=3)
    received = [item.id for item in page.records]
    while page.more:
        page = await office.read(li, page.cursor, 3)
        received += [item.id for item in page.records]
    assert sorted(received) == sorted(ids)
    await office.write(li, "component", ids[4], {"remark": "看过"}, base=page.records[0].version)
    assert [item.id for item in (await office.read(li, page.cursor)).records] == [ids[4]]


async def test_a_known_record_created_again_is_judged_by_what_it_is(office: Office) -> None:
    """Who creates a record that exists, whole or with too few fields for a new one, changes the one there is."""
    li, wang, record = inspector("li"), inspector("wang"), new_id()
    await office.write(li, "component", record, component(condition="good"))
    few = await office.write(wang, "component", record, {"inspections": 1})
    whole = await office.write(wang, "component", record, component(condition="worn"))
    assert (few.outcome, whole.outcome) == (Outcome.APPLIED, Outcome.CONFLICT)
    async with office.store.reading() as tx:
        assert (await tx.records([record]))[record].owner == "li"


async def test_a_known_change_under_a_new_number_happens_once(office: Office) -> None:
    """A change is known by its id, whatever number it is sent under."""
    li, record = inspector("li"), new_id()
    first = office.change(li, "component", record, component(inspections=1))
    again = office.change(li, "component", record, component(inspections=1), id=first.id)
    made, known = await office.submit(li, first), await office.submit(li, again)
    assert isinstance(made, PushResponse)
    assert isinstance(known, PushResponse)
    assert (known.verdicts[0].version, known.held) == (made.verdicts[0].version, 2)
    async with office.store.reading() as tx:
        assert len(await tx.history(record)) == 1


async def test_a_change_of_somebody_else_sent_as_a_new_one_is_not_taken(office: Office) -> None:
    """Whose change an id is, the log says, also to those who send it for the first time."""
    li, wang, record = inspector("li"), inspector("wang"), new_id()
    theirs = office.change(li, "component", record, component())
    await office.submit(li, theirs)
    answer = await office.submit(wang, office.change(wang, "component", new_id(), component(), id=theirs.id))
    assert isinstance(answer, SyncError)
    assert answer.code == "id_invalid"


async def test_what_others_change_in_the_same_commit_is_known_to_a_new_push(store: Store) -> None:
    """A creation of a record that an older push of the same commit changes is judged by what that left."""
    office, li, wang, record = Office(store), inspector("li"), inspector("wang"), new_id()
    seen = (await office.write(li, "component", record, component(condition="good"))).version
    older = office.change(li, "component", record, {"condition": "worn"}, base=seen)
    newer = office.change(wang, "component", record, {"condition": "damaged"})
    submissions = [Submission(li, [older], office.now), Submission(wang, [newer], office.now)]
    async with store.writing() as tx:
        answers = await push(tx, REGISTRY, submissions, look=False)
    outcomes = [verdict.outcome for one in answers if isinstance(one, PushResponse) for verdict in one.verdicts]
    assert outcomes == [Outcome.APPLIED, Outcome.CONFLICT]


async def test_what_a_push_with_a_gap_names_is_known_to_others_of_the_commit(store: Store) -> None:
    """A push that is not taken makes nobody believe that the records it names are new."""
    office, li, wang, record = Office(store), inspector("li"), inspector("wang"), new_id()
    await office.write(li, "component", record, component())
    office.change(wang, "component", new_id(), component())
    gap = office.change(wang, "component", record, component())
    again = office.change(li, "component", record, {"inspections": 1})
    submissions = [Submission(wang, [gap], office.now), Submission(li, [again], office.now)]
    async with store.writing() as tx:
        error, answer = await push(tx, REGISTRY, submissions, look=False)
    assert isinstance(error, SyncError)
    assert isinstance(answer, PushResponse)
    assert answer.verdicts[0].outcome is Outcome.APPLIED
