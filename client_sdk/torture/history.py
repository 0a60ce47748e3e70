"""What happened in a run, as the devices saw it: all that the checks judge by."""

import uuid
from collections.abc import Iterable

import msgspec

from sync.messages import Change, PullResponse, Verdict, WireRecord


class Seen(msgspec.Struct, frozen=True, gc=False):
    """A record as a device received it; `fields` are MessagePack."""

    id: uuid.UUID
    type: str
    version: int
    fields: bytes


class DeviceHistory(msgspec.Struct):
    """One device's part.

    `sent` are its changes in order. `answers` are the verdicts it was given while it worked, some of them twice
    where it had to send again. `held` is how many changes the server said it holds, asked after the last kill.
    `resent` are the verdicts on all its changes, asked at the very end. `copy` is what its pulls of the whole run
    add up to; `older` are the records that a later pull gave in an older version. `pool` lets the devices of a run
    share what they all hold.
    """

    sent: list[Change] = []
    answers: list[Verdict] = []
    held: int = 0
    resent: list[Verdict] = []
    copy: dict[uuid.UUID, Seen] = {}
    older: list[uuid.UUID] = []
    pool: dict[Seen, Seen] = {}

    def take(self, page: PullResponse) -> None:
        """Bring the copy to a page that was pulled."""
        for record in map(seen, page.records):
            known = self.copy.get(record.id)
            if known is not None and record.version < known.version:
                self.older.append(record.id)
            pooled = self.pool.setdefault(record, record)
            self.copy[pooled.id] = pooled
        for forgotten in page.forget:
            self.copy.pop(forgotten, None)


class History(msgspec.Struct):
    """A run: each device's part, and full pulls after the last kill (`full`) and after all was resent (`after`).

    `views` are the scopes that a full pull reads, one after the other. `broken` says why the run could not
    go on to its end, if so.
    """

    devices: list[DeviceHistory] = []
    full: list[WireRecord] = []
    after: list[WireRecord] = []
    views: list[str] = []
    broken: list[str] = []


def seen(record: WireRecord) -> Seen:
    """A record of a page, its fields as bytes."""
    return Seen(record.id, record.type, record.version, bytes(record.fields))


def by_id(records: Iterable[WireRecord]) -> dict[uuid.UUID, Seen]:
    """Records by their id."""
    return {record.id: seen(record) for record in records}
