"""What a push may cost others: contents that cannot be read, and records with a long history."""

import base64
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from server.http.transcoding import fields_to_json
from sync.memory import MemoryStore, MemoryTransaction
from sync.messages import PushResponse
from sync.storage import LoggedChange
from tests.unit.builders import EPOCH, GRID, Office, component, inspector, new_id, supervisor

ELSEWHERE = "440304002001001"


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.mark.parametrize("depth", [200, 500, 2_000])
async def test_content_nested_without_end(office: Office, depth: int) -> None:
    """What is refused for its content goes to those who deal with it in a form that every reader can take in."""
    li, nested = inspector("li"), msgspec.Raw(b"\x81\xa1x" + b"\x91" * depth + b"\xc7\x01\x05\x00")
    change = msgspec.structs.replace(office.change(li, "component", new_id(), {}), fields=nested)
    answer = await office.submit(li, change)
    assert isinstance(answer, PushResponse)
    (verdict,) = answer.verdicts
    assert verdict.attention
    (refusal,) = [one for one in (await office.read(supervisor())).records if one.type == "refusal"]
    shown = msgspec.json.decode(fields_to_json(refusal.fields))
    assert shown["refused"] == {"unreadable": base64.b64encode(bytes(nested)).decode()}


def test_what_is_stored_nested_without_end_is_readable() -> None:
    """What was stored before such contents were bounded does not keep a page from its readers."""
    nested = msgspec.Raw(b"\x81\xa1x" + b"\x91" * 980 + b"\x01")
    assert msgspec.json.decode(fields_to_json(nested)) == {"unreadable": base64.b64encode(bytes(nested)).decode()}


class CountedReads(MemoryStore):
    """A store that counts how often a record's history is read."""

    histories = 0

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[MemoryTransaction]:
        async with super().writing() as tx:
            read = tx.history

            async def counted(record: uuid.UUID) -> list[LoggedChange]:
                self.histories += 1
                return await read(record)

            tx.history = counted  # type: ignore[method-assign]
            yield tx


async def test_many_moves_read_the_history_once() -> None:
    """A thousand moves of one record in a push do not read all that was ever done with it a thousand times."""
    store = CountedReads(EPOCH)
    office, sup = Office(store), supervisor()
    record = new_id()
    await office.write(sup, "component", record, component())
    store.histories = 0
    moves = [office.change(sup, "component", record, {"grid": ELSEWHERE if n % 2 else GRID}) for n in range(20)]
    await office.submit(sup, *moves)
    assert store.histories == 1
    assert (await office.fields(record))["grid"] == ELSEWHERE
