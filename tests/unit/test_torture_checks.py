"""The torture can fail: each way in which a server could break its promises is seen in the history of a run."""

import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from client_sdk.torture.checks import CHECKS, DECLARED_CHECKS, PROMISES, TO_THE_END, violations
from client_sdk.torture.history import DeviceHistory, History, seen
from sync.authority import Actor
from sync.messages import Change, Outcome, PullResponse, PushResponse, Verdict, WireRecord
from tests.unit.builders import GRID, REGISTRY, Office, component, new_id, supervisor

VERDICT, HELD, ONCE, FULL, PULLS, RESENT = CHECKS
REPEATS, VALUES = DECLARED_CHECKS


class Rehearsal:
    """Two devices of one person at a server that keeps its promises."""

    def __init__(self) -> None:
        self.office = Office()
        self.actors: list[Actor] = [supervisor("li"), supervisor("li")]
        self.history = History([DeviceHistory(), DeviceHistory()])
        self._cursors: list[str | None] = [None, None]

    async def push(self, number: int, *changes: Change) -> list[Verdict]:
        """Push the changes of a device, and note what it was told."""
        answer = await self._submit(number, changes)
        self.history.devices[number].sent += changes
        self.history.devices[number].answers += answer.verdicts
        return answer.verdicts

    def change(self, number: int, record: uuid.UUID, fields: dict[str, Any], base: int = 0) -> Change:
        """The next change of a component by a device."""
        return self.office.change(self.actors[number], "component", record, fields, base=base)

    async def pull(self, number: int) -> None:
        """Pull what is new for a device."""
        page = await self.office.read(self.actors[number], self._cursors[number])
        self._cursors[number] = page.cursor
        self.history.devices[number].take(page)

    async def end(self) -> History:
        """Ask for everything once more."""
        for number, device in enumerate(self.history.devices):
            device.held = len(device.sent)
            await self.pull(number)
        everything = await self.office.read(self.actors[0])
        self.history.full, self.history.views = everything.records, everything.scopes
        for number, device in enumerate(self.history.devices):
            device.resent = (await self._submit(number, tuple(device.sent))).verdicts
        self.history.after = (await self.office.read(self.actors[0])).records
        return self.history

    async def _submit(self, number: int, changes: tuple[Change, ...]) -> PushResponse:
        answer = await self.office.submit(self.actors[number], *changes)
        assert isinstance(answer, PushResponse)
        return answer


@pytest.fixture
async def history() -> History:
    """A good run: a shared component, concurrent updates of every kind, a conflict, a refusal."""
    run = Rehearsal()
    shared = new_id()
    (made,) = await run.push(0, run.change(0, shared, component(inspections=1, tags={"add": ["a0"]})))
    await run.pull(1)
    inspected = {"inspections": 4, "last_inspected_at": "2026-03-02T12:00:00Z", "tags": {"add": ["b1"]}}
    await run.push(1, run.change(1, shared, inspected | {"condition": "worn"}, base=made.version))
    await run.pull(0)
    disputed = {"inspections": -2, "condition": "damaged", "tags": {"add": ["a2"], "remove": ["a0"]}}
    verdicts = await run.push(
        0,
        run.change(0, shared, disputed),
        run.change(0, new_id(), component(grid="440305001001001")),
        run.change(0, new_id(), component(inspections=7)),
    )
    assert [one.outcome for one in verdicts] == [Outcome.CONFLICT, Outcome.REFUSED, Outcome.APPLIED]
    finding = {"kind": "0102", "grid": GRID, "text": "盖板破损"}
    await run.push(1, run.office.change(run.actors[1], "finding", new_id(), finding))
    task = new_id()
    fields = {"subject": "雨后巡查", "grid": GRID}
    await run.push(1, run.office.change(run.actors[1], "patrol_task", task, fields))
    for number in (0, 1):
        answers = {"answers": [{"item": f"q{number}", "result": "ok", "answered_at": "2026-03-02T12:00:00+08:00"}]}
        await run.push(number, run.office.change(run.actors[number], "patrol_task", task, answers))
    return await run.end()


def broken_promises(history: History) -> set[str]:
    """The promises the checks find broken."""
    return {violation.promise for violation in violations(history, REGISTRY)}


def test_good_run_has_no_violation(history: History) -> None:
    """A server that keeps its promises passes."""
    assert violations(history, REGISTRY) == []


def lose_acknowledged(history: History) -> None:
    """The server comes back with less than it acknowledged."""
    history.devices[0].held -= 1


def lose_verdict(history: History) -> None:
    """A change sent again gets no verdict."""
    history.devices[1].resent.pop()


def change_outcome(history: History) -> None:
    """A change sent again is judged otherwise."""
    last = history.devices[0].resent[-1]
    history.devices[0].resent[-1] = msgspec.structs.replace(last, outcome=Outcome.REFUSED)


def apply_anew(history: History) -> None:
    """A change sent again is applied again, as a new version."""
    last = history.devices[0].resent[-1]
    history.devices[0].resent[-1] = msgspec.structs.replace(last, version=last.version + 64)


def change_answer_of_retry(history: History) -> None:
    """A change sent again during the run got another verdict then."""
    device = history.devices[0]
    device.answers.insert(0, msgspec.structs.replace(device.answers[0], version=1_000))


def share_version(history: History) -> None:
    """Two changes are given the same version."""
    first = history.devices[0].answers[0].version
    for verdicts in (history.devices[1].answers, history.devices[1].resent):
        verdicts[0] = msgspec.structs.replace(verdicts[0], version=first)


def alter(history: History, **values: Any) -> None:
    """Give the shared component other values, in all pulls alike."""
    shared = history.devices[0].sent[0].record
    for records in (history.full, history.after):
        place = next(place for place, record in enumerate(records) if record.id == shared)
        fields = msgspec.msgpack.decode(records[place].fields) | values
        raw = msgspec.Raw(msgspec.msgpack.encode(fields))
        records[place] = msgspec.structs.replace(records[place], fields=raw)
        for device in history.devices:
            device.copy[shared] = seen(records[place])


def double_counter(history: History) -> None:
    """A difference is counted twice."""
    alter(history, inspections=1 + 4 + 4 - 2)


def lose_element(history: History) -> None:
    """An element that was added is missing."""
    alter(history, tags=["a2"])


def keep_element(history: History) -> None:
    """An element that was removed stays."""
    alter(history, tags=["a0", "a2", "b1"])


def forget_extreme(history: History) -> None:
    """A maximum is not the largest."""
    alter(history, last_inspected_at=None)


def double_entry(history: History) -> None:
    """An entry stands twice."""
    task = next(change.record for change in history.devices[1].sent if change.type == "patrol_task")
    for records in (history.full, history.after):
        place = next(place for place, record in enumerate(records) if record.id == task)
        fields = msgspec.msgpack.decode(records[place].fields)
        fields["answers"] *= 2
        raw = msgspec.Raw(msgspec.msgpack.encode(fields))
        records[place] = msgspec.structs.replace(records[place], fields=raw)
        for device in history.devices:
            device.copy[task] = seen(records[place])


def drop_from_pulls(history: History) -> None:
    """The pulls of one device skipped a record."""
    history.devices[1].copy.popitem()


def stale_in_pulls(history: History) -> None:
    """The pulls of one device skipped the last version of a record."""
    copy = history.devices[1].copy
    shared = history.devices[0].sent[0].record
    copy[shared] = msgspec.structs.replace(copy[shared], version=copy[shared].version - 1)


def pull_backwards(history: History) -> None:
    """A later pull gives an older version."""
    newest = history.full[0]
    older = msgspec.structs.replace(newest, version=newest.version - 1)
    for record in (older, newest):
        history.devices[0].take(page_of(record))


def page_of(record: WireRecord) -> PullResponse:
    """A page with one record."""
    return PullResponse(uuid.UUID(int=7), 0, 0, "", False, [], [record])


def remove(history: History, wanted: Callable[[WireRecord], bool]) -> None:
    """Remove a record from all pulls alike."""
    victim = next(record for record in history.full if wanted(record))
    for records in (history.full, history.after):
        records.remove(next(record for record in records if record.id == victim.id))
    for device in history.devices:
        del device.copy[victim.id]


def lose_record(history: History) -> None:
    """An applied record is nowhere."""
    remove(history, lambda record: record.type == "component")


def lose_refusal(history: History) -> None:
    """The refusal that somebody must deal with is nowhere."""
    remove(history, lambda record: record.type == "refusal")


def double_record(history: History) -> None:
    """A full pull gives a record twice, which lies in one view."""
    history.full.append(next(record for record in history.full if record.type == "component"))


def test_record_may_come_with_each_view(history: History) -> None:
    """A record that lies in two views of its reader, as a person's own and in the area, may come with both."""
    history.full.append(next(record for record in history.full if record.type == "finding"))
    assert violations(history, REGISTRY) == []


def invent_record(history: History) -> None:
    """A record that nobody made."""
    invented = msgspec.structs.replace(history.full[0], id=new_id())
    history.full.append(invented)
    history.after.append(invented)
    for device in history.devices:
        device.take(page_of(invented))


def resend_moves(history: History) -> None:
    """Sending everything again writes a record anew."""
    history.after[0] = msgspec.structs.replace(history.after[0], version=history.after[0].version + 1)


def break_off(history: History) -> None:
    """The server gave an answer it should not give."""
    history.broken.append("/v1/push: 500")


BROKEN: list[tuple[Callable[[History], None], set[str]]] = [
    (lose_acknowledged, {HELD}),
    (lose_verdict, {HELD}),
    (change_outcome, {VERDICT}),
    (apply_anew, {VERDICT}),
    (change_answer_of_retry, {VERDICT}),
    (share_version, {ONCE}),
    (double_counter, {VALUES}),
    (lose_element, {VALUES}),
    (keep_element, {VALUES}),
    (forget_extreme, {VALUES}),
    (double_entry, {VALUES}),
    (drop_from_pulls, {PULLS}),
    (stale_in_pulls, {PULLS}),
    (pull_backwards, {PULLS}),
    (lose_record, {FULL}),
    (lose_refusal, {FULL}),
    (double_record, {REPEATS}),
    (invent_record, {FULL}),
    (resend_moves, {RESENT}),
    (break_off, {TO_THE_END}),
]


@pytest.mark.parametrize(("fault", "promises"), BROKEN, ids=[fault.__name__ for fault, _ in BROKEN])
def test_fault_is_seen(history: History, fault: Callable[[History], None], promises: set[str]) -> None:
    """A run with this fault, and no other, is reported as breaking this promise."""
    fault(history)
    assert promises <= broken_promises(history)


def test_every_promise_can_break() -> None:
    """There is a fault for every promise that is checked."""
    assert {promise for _, promises in BROKEN for promise in promises} == set(PROMISES)
