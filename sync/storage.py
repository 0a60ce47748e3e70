"""What the sync core asks of a store. Each method's docstring is a guarantee every backend must keep;
`tests/contracts` holds them all to it.

Positions in a feed are pairs (tx, version): the transaction that wrote and the version it gave. A reader only sees
entries of transactions before which none is still open, so a position once passed never fills up later.
"""

import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

import msgspec

from field_schemas.access import Grant
from sync.messages import Outcome


class FeedPosition(NamedTuple):
    """A place in the order in which writes become visible."""

    tx: int = 0
    version: int = 0


class StoredRecord(msgspec.Struct, kw_only=True, gc=False):
    """A record as the store keeps it. `fields` and `marks` are MessagePack objects (sync.merge), in the form that
    the type has at `type_version` (sync.forms).

    `district` is the six-digit district it lies in, "" for none: the key by which tables can be split.
    """

    id: uuid.UUID
    type: str
    version: int
    tx: int
    scopes: tuple[str, ...]
    owner: str | None
    fields: bytes
    marks: bytes
    district: str
    deleted: bool = False
    type_version: int


class LoggedChange(msgspec.Struct, kw_only=True, gc=False):
    """A change with its verdict, as the log keeps it for ever.

    `base` is what its author had seen, `version` what it made. `captured_ms` is the estimated true time, wrong by
    `error_ms` at most; `wall_ms` what the device's own clock said then, None where that was not kept. `fields` is
    the change's patch, `before` the old values of what it really changed, both
    MessagePack objects in the form that the type has at `type_version` (sync.forms). Changes the server makes itself
    carry `seq` 0; where they follow from a change of `user`, `device` is where that was made.
    """

    id: uuid.UUID
    device: uuid.UUID
    seq: int
    user: str
    type: str
    record: uuid.UUID
    district: str
    base: int
    version: int
    stamp: int
    outcome: Outcome
    code: str | None
    detail: str | None
    attention: uuid.UUID | None
    captured_ms: int
    error_ms: int | None
    received_ms: int
    deletes: bool
    fields: bytes
    before: bytes
    type_version: int
    wall_ms: int | None = None


class FeedEntry(msgspec.Struct, frozen=True, gc=False):
    """One entry of a feed: `record` was written, or left the scope (`gone`), at `position`."""

    tx: int
    version: int
    record: uuid.UUID
    gone: bool

    @property
    def position(self) -> FeedPosition:
        """Its place in the feed."""
        return FeedPosition(self.tx, self.version)


class FeedRow(msgspec.Struct, frozen=True, gc=False):
    """A feed entry with the feed it stands in."""

    feed: str
    tx: int
    version: int
    record: uuid.UUID
    gone: bool


class Member(NamedTuple):
    """A record that a feed carries now, as digests need it."""

    record: uuid.UUID
    version: int
    type: str
    scopes: tuple[str, ...]


class WriteBatch(msgspec.Struct):
    """Everything one transaction writes.

    `feed_removed` are entries that newer ones replace. `sequences` is the last sequence number held of a device.
    """

    records: list[StoredRecord]
    changes: list[LoggedChange]
    feed_removed: list[FeedRow]
    feed_added: list[FeedRow]
    sequences: dict[uuid.UUID, int]


class ReadTransaction(Protocol):
    """One consistent view of the store."""

    async def epoch(self) -> uuid.UUID:
        """The identity of this store's contents; another after a restore or replacement."""

    async def records(self, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, StoredRecord]:
        """Those of the records that exist, deleted ones included."""

    async def changes(self, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, LoggedChange]:
        """Those of the changes that are in the log."""

    async def history(self, record: uuid.UUID) -> list[LoggedChange]:
        """All changes ever sent for a record, refused ones too, by time of receipt."""

    async def grants_of(self, user: str) -> tuple[Grant, ...]:
        """All grants a user ever had, by their number; none for an account that does not exist."""

    async def feeds_within(self, scope: str) -> list[str]:
        """The feed keys that start with `scope` and hold entries, sorted."""

    async def feed(self, key: str, after: FeedPosition, limit: int) -> list[FeedEntry]:
        """At most `limit` entries of a feed past `after`, in order of position.

        An entry is returned only when no transaction with a smaller position can still commit.
        """

    async def feed_holds(self, key: str, after: FeedPosition, count: int) -> bool:
        """Whether `feed` would give at least `count` (1 or more) entries past `after`; none of them is read."""

    async def feed_newest(self, key: str) -> FeedPosition:
        """The position of the last entry of a feed, settled or not; the very start where there is none.

        It differs after anything was written to a feed that was settled to its end.
        """

    async def horizon(self) -> FeedPosition:
        """The last position that is settled: nothing at or before it can still appear in any feed."""

    async def lasting(self) -> FeedPosition:
        """Up to where all is settled for good, at or before the horizon: a database that crashes and loses nothing it
        has acknowledged does not give these positions again. Who has read everything has read up to there."""

    async def purged(self) -> FeedPosition:
        """Up to where the traces of deleted and departed records have been dropped (`purge`)."""

    def members(self, key: str, page: int = 10_000) -> AsyncIterator[list[Member]]:
        """The living records that a feed carries, a page at a time, in no particular order."""

    def scan(self, record_type: str, page: int = 1_000) -> AsyncIterator[list[StoredRecord]]:
        """All living records of a type by id, a page at a time."""


class WriteTransaction(ReadTransaction, Protocol):
    """A read view that can also write; nothing of it is visible to others before it ends well.

    A transaction that raises leaves no trace. Once its context has ended well, what it wrote survives `kill -9`
    and power loss.
    """

    tx: int
    """The first half of the feed positions this transaction writes; larger than those of all that have ended."""

    touched: set[str]
    """The feeds that `write` added entries to."""

    async def lock_devices(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        """The last sequence number held of each device (0: none), locked against other writers to the end."""

    async def lock_records(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, StoredRecord]:
        """As `records`, locked against other writers to the end of the transaction."""

    async def reserve_versions(self, count: int) -> int:
        """The first of `count` consecutive versions nobody else gets, larger than those of all locked records."""

    async def write(self, batch: WriteBatch) -> None:
        """Insert the changes and feed rows, insert or replace the records, note the sequences.

        Raises `Collision` when another transaction has meanwhile created one of the new records or changes.
        """

    async def renew(self, epoch: uuid.UUID, skip_versions: int) -> None:
        """Give the contents a new identity, after a restore. All settled positions start from transaction 0 again,
        and the next `skip_versions` versions are never given: contents that were lost may have used them."""

    async def purge(self, until: FeedPosition) -> int:
        """Drop the traces that deleted and departed records left in feeds up to `until`; how many.

        The deleted records themselves stay, without their fields, so that nothing brings them back.
        """


class Collision(Exception):
    """Two transactions created the same record or change; doing the work again will see the other's."""


class Store(Protocol):
    """A place records and their change log are kept."""

    def reading(self) -> AbstractAsyncContextManager[ReadTransaction]:
        """Open a consistent view."""

    def writing(self) -> AbstractAsyncContextManager[WriteTransaction]:
        """Open a transaction that commits durably when its context ends well."""
