"""The records a push works on: loaded once, changed in memory, written together."""

import uuid
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from field_schemas.registry import Registry
from field_schemas.scopes import district_of, feeds_of
from sync.forms import record_now
from sync.ids import by_number
from sync.merge import Mark
from sync.storage import FeedRow, LoggedChange, StoredRecord, WriteBatch, WriteTransaction

_fields = msgspec.msgpack.Decoder(dict[str, Any])
_marks = msgspec.msgpack.Decoder(dict[str, Mark])
_encode = msgspec.msgpack.Encoder().encode
_VERSIONS_AT_ONCE = 64


class Draft:
    """One record as it stands within the transaction. `stored` is what it was before, None for a new one.

    Its encoded fields have `most_bytes` at most.
    """

    __slots__ = (
        "changed",
        "deleted",
        "fields",
        "id",
        "marks",
        "most_bytes",
        "owner",
        "scopes",
        "stored",
        "type",
        "type_version",
        "version",
    )

    def __init__(
        self,
        record_id: uuid.UUID,
        record_type: str,
        type_version: int,
        owner: str,
        stored: StoredRecord | None = None,
    ) -> None:
        self.id = record_id
        self.type = record_type
        self.type_version = type_version
        self.owner: str | None = owner
        self.stored = stored
        self.version = 0
        self.scopes: tuple[str, ...] = ()
        self.fields: dict[str, Any] = {}
        self.marks: dict[str, Mark] = {}
        self.deleted = False
        self.changed = False
        self.most_bytes = 0 if stored is None else memoryview(stored.fields).nbytes

    @classmethod
    def of(cls, stored: StoredRecord) -> "Draft":
        """The draft of a record that exists."""
        draft = cls(stored.id, stored.type, stored.type_version, "", stored)
        draft.owner = stored.owner
        draft.version = stored.version
        draft.scopes = stored.scopes
        draft.fields = _fields.decode(stored.fields)
        draft.marks = _marks.decode(stored.marks)
        draft.deleted = stored.deleted
        return draft

    def to_stored(self, tx: int) -> StoredRecord:
        """What to write."""
        return StoredRecord(
            id=self.id,
            type=self.type,
            version=self.version,
            tx=tx,
            scopes=self.scopes,
            owner=self.owner,
            fields=_encode(self.fields),
            marks=_encode(self.marks),
            district=district_of(self.scopes),
            deleted=self.deleted,
            type_version=self.type_version,
        )


class Workspace:
    """All drafts and log entries of one transaction. Drafts have the form that `registry` gives their types."""

    def __init__(self, tx: WriteTransaction, registry: Registry) -> None:
        self.tx = tx
        self._registry = registry
        self.logged: dict[uuid.UUID, LoggedChange] = {}
        self.sequences: dict[uuid.UUID, int] = {}
        self._new_log: list[LoggedChange] = []
        self._drafts: dict[uuid.UUID, Draft | None] = {}
        self._changed: list[Draft] = []
        self._histories: dict[uuid.UUID, list[LoggedChange]] = {}
        self._next_version = 0
        self._last_version = -1

    async def load(self, ids: set[uuid.UUID]) -> None:
        """Lock and read the records that are not here yet. Raises SyncError `server_behind`."""
        missing = sorted(ids - self._drafts.keys(), key=by_number)
        if missing:
            found = await self.tx.lock_records(missing)
            # Versions reserved before the lock may be smaller than the one such a record has by now.
            self._next_version = self._last_version + 1
            for record_id in missing:
                stored = found.get(record_id)
                self._drafts[record_id] = Draft.of(self._now(stored)) if stored else None

    def suppose_new(self, ids: Iterable[uuid.UUID]) -> None:
        """Take it that none of the records exists but those that were loaded."""
        self._drafts = dict.fromkeys(ids) | self._drafts

    def made_all(self, ids: Iterable[uuid.UUID]) -> bool:
        """Whether all of these records exist by now."""
        return None not in [self._drafts[record_id] for record_id in ids]

    def _now(self, stored: StoredRecord) -> StoredRecord:
        form = self._registry.forms.get(stored.type, stored.type_version)
        return stored if form == stored.type_version else record_now(self._registry.get(stored.type), stored)

    async def draft(self, record_id: uuid.UUID) -> Draft | None:
        """The record as it stands now, None if there is none."""
        try:
            return self._drafts[record_id]
        except KeyError:
            await self.load({record_id})
            return self._drafts[record_id]

    async def reserve(self, count: int) -> None:
        """Reserve the versions for `count` writes at once; `version` reserves more when they run out."""
        self._next_version = await self.tx.reserve_versions(count)
        self._last_version = self._next_version + count - 1

    async def version(self) -> int:
        """The next version."""
        if self._next_version > self._last_version:
            await self.reserve(_VERSIONS_AT_ONCE)
        version = self._next_version
        self._next_version += 1
        return version

    def put(self, draft: Draft) -> None:
        """Keep a changed draft."""
        if not draft.changed:
            draft.changed = True
            self._drafts[draft.id] = draft
            self._changed.append(draft)

    def log(self, change: LoggedChange) -> None:
        """Keep a decided change."""
        self.logged[change.id] = change
        self._new_log.append(change)

    async def change(self, change_id: uuid.UUID) -> LoggedChange:
        """A change that is in the log, stored or decided here."""
        known = self.logged.get(change_id)
        return known or (await self.tx.changes([change_id]))[change_id]

    async def changes(self, ids: Collection[uuid.UUID]) -> list[LoggedChange]:
        """Those of the changes that are in the log, stored or decided here."""
        stored = await self.tx.changes(ids) if ids else {}
        return [*stored.values(), *[self.logged[one] for one in ids if one in self.logged and one not in stored]]

    async def history(self, record_id: uuid.UUID) -> list[LoggedChange]:
        """The changes of a record, stored and decided here, oldest first."""
        stored = self._histories.get(record_id)
        if stored is None:
            stored = await self.tx.history(record_id)
            # Nobody else adds to it once the record is locked; one that is moved a thousand times has a long one.
            if record_id in self._drafts:
                self._histories[record_id] = stored
        return stored + [change for change in self._new_log if change.record == record_id]

    def batch(self) -> WriteBatch:
        """Everything to write."""
        removed: list[FeedRow] = []
        added: list[FeedRow] = []
        records: list[StoredRecord] = []
        for draft in self._changed:
            stored = draft.to_stored(self.tx.tx)
            records.append(stored)
            now = feeds_of(stored.scopes)
            if draft.stored is not None:
                old = draft.stored
                was = feeds_of(old.scopes)
                removed += [FeedRow(key, old.tx, old.version, old.id, False) for key in was]
                added += [FeedRow(key, stored.tx, stored.version, stored.id, True) for key in was if key not in now]
            added += [FeedRow(key, stored.tx, stored.version, stored.id, False) for key in now]
        return WriteBatch(records, self._new_log, removed, added, self.sequences)
