"""Pull: what a reader may see and has not seen yet, view by view, a page at a time."""

import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

from field_schemas.access import Grant, Role, grants_at, roles_in, with_implied
from field_schemas.record import RecordType
from field_schemas.registry import Registry
from field_schemas.scopes import covers, feed_key
from sync.authority import Actor
from sync.clock import stamp_at
from sync.cursor import Cursor, ViewCursor, role_tag
from sync.errors import SyncError
from sync.merge import Mark
from sync.messages import PullRequest, PullResponse, WireRecord
from sync.storage import FeedPosition, ReadTransaction, StoredRecord

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
_marks = msgspec.msgpack.Decoder(dict[str, Mark]).decode
_VIEW_ORDER = {"person": 0, "case": 1, "dept": 2, "grid": 3, "all": 4}
"""Own things first."""
NEVER_READ = ViewCursor(FeedPosition(), "")


async def pull(
    tx: ReadTransaction, registry: Registry, reader: Actor, request: PullRequest, now_ms: int
) -> PullResponse:
    """The next page for `reader`, by the grants that hold at `now_ms`.

    Raises SyncError `cursor_invalid`, or `epoch_changed` when the cursor is of other contents.
    """
    epoch = await tx.epoch()
    cursor = Cursor(epoch, {}) if request.cursor is None else Cursor.decode(request.cursor)
    if cursor.epoch != epoch:
        raise SyncError("epoch_changed", f"the cursor is of {cursor.epoch}, the store of {epoch}")
    grants = with_implied(grants_at(reader.grants, now_ms), reader.user)
    page = _Page(tx, registry, grants, request.limit)
    views: dict[str, ViewCursor] = {}
    for view in await views_of(tx, grants):
        start = cursor.views.get(view, NEVER_READ).resumed(role_tag(roles_in(grants, (view,))))
        views[view] = msgspec.structs.replace(start, position=await page.read(view, start))
    return PullResponse(
        epoch=epoch,
        server_ms=now_ms,
        stamp=stamp_at(now_ms),
        cursor=Cursor(epoch, views).encode(),
        more=page.more,
        scopes=sorted(views),
        records=list(page.records.values()),
        forget=sorted(page.forget - page.records.keys()),
    )


async def views_of(tx: ReadTransaction, grants: Iterable[Grant]) -> list[str]:
    """The views that `grants` open, own things first; none lies within another."""
    scopes = {grant.scope for grant in grants}
    widest = [scope for scope in scopes if not any(covers(other, scope) for other in scopes - {scope})]
    views: set[str] = set()
    for scope in widest:
        feeds = await tx.feeds_within(scope) if scope.startswith("grid:") else []
        views.update(feeds or (scope,))
    return sorted(views, key=lambda view: (_VIEW_ORDER.get(view.partition(":")[0], 9), view))


class _Page:
    """One page being filled from view after view."""

    def __init__(self, tx: ReadTransaction, registry: Registry, grants: tuple[Grant, ...], limit: int) -> None:
        self.tx = tx
        self.registry = registry
        self.grants = grants
        self.limit = limit
        self.records: dict[uuid.UUID, WireRecord] = {}
        self.forget: set[uuid.UUID] = set()
        self.more = False
        self._roles: dict[tuple[str, ...], frozenset[Role]] = {}

    async def read(self, view: str, start: ViewCursor) -> FeedPosition:
        """Add what fits from `view`; the position reached.

        What the device may hold of the view and may not see any more it is told to forget.
        """
        after = start.position
        held_until = max(after, start.before)
        room = self.limit - len(self.records) - len(self.forget)
        if room <= 0:
            self.more = True
            return after
        entries = await self.tx.feed(feed_key(view), after, room)
        stored = await self.tx.records({entry.record for entry in entries})
        for entry in entries:
            record = stored[entry.record]
            if self._add(record):
                continue
            if entry.gone or entry.position <= held_until or self._may_have_moved(record):
                self.forget.add(record.id)
        if not entries:
            return after
        self.more |= len(entries) == room
        return entries[-1].position

    def _add(self, record: StoredRecord) -> bool:
        """Whether the reader sees the record, which is then on the page."""
        if record.id in self.records:
            return True
        if record.type not in self.registry:
            return False
        spec = self.registry.get(record.type)
        roles = self._roles_over(record.scopes)
        if not roles & spec.access.read:
            return False
        self.records[record.id] = wire_record(spec, record, roles)
        return True

    def _roles_over(self, scopes: tuple[str, ...]) -> frozenset[Role]:
        roles = self._roles.get(scopes)
        if roles is None:
            roles = self._roles[scopes] = roles_in(self.grants, scopes)
        return roles

    def _may_have_moved(self, record: StoredRecord) -> bool:
        """Whether the record's place was ever changed: a move within a feed leaves no entry of its own.

        The moment of the move does not count. Versions and feed positions may be ordered differently, and to name
        the id of a record that the device never had does no harm.
        """
        if record.type not in self.registry:
            return False
        return not self.registry.get(record.type).scope_fields.isdisjoint(_marks(record.marks))


def wire_record(spec: RecordType[Any], record: StoredRecord, roles: Iterable[Role]) -> WireRecord:
    """A record as `roles` may see it."""
    if record.deleted:
        return WireRecord(record.id, record.type, record.version, owner=record.owner, deleted=True)
    fields = record.fields
    readable = spec.readable_fields(roles)
    if readable is not None:
        fields = _encode({name: value for name, value in _decode(fields).items() if name in readable})
    return WireRecord(record.id, record.type, record.version, msgspec.Raw(fields), record.owner)
