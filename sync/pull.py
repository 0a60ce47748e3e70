"""Pull: what a reader may see and has not seen yet, view by view, a page at a time."""

import uuid
from collections.abc import Iterable, Mapping

import msgspec

from field_schemas.access import Grant, Role
from field_schemas.registry import Registry
from field_schemas.scopes import covers, feed_key
from sync.authority import Actor, authority_tag
from sync.clock import stamp_at
from sync.cursor import Cursor, ViewCursor, tag_of
from sync.errors import SyncError
from sync.merge import Mark
from sync.messages import PullRequest, PullResponse, WireRecord
from sync.storage import FeedPosition, ReadTransaction, StoredRecord
from sync.stretch import Stretch, Stretches
from sync.visible import Sight

SNAPSHOT_FROM = 10_000
"""A street that holds so many entries comes as a snapshot to devices that have read nothing of it."""
PAGE_BYTES = 4_000_000
"""A page ends once its records hold so many bytes."""
_marks = msgspec.msgpack.Decoder(dict[str, Mark]).decode
_VIEW_ORDER = {"person": 0, "case": 1, "dept": 2, "grid": 3, "all": 4}
"""Own things first."""
AWAITED = frozenset({"conflict", "refusal"})
"""What people wait for does not come amid the reference data."""


async def pull(
    tx: ReadTransaction,
    registry: Registry,
    reader: Actor,
    request: PullRequest,
    now_ms: int,
    snapshot_from: int = SNAPSHOT_FROM,
    stretches: Stretches | None = None,
) -> PullResponse:
    """The next page for `reader`, by the grants that hold at `now_ms`.

    `stretches` is what this server has kept of earlier pulls by the same `registry`.

    Raises SyncError `cursor_invalid`; `epoch_changed` when the cursor is of other contents, as ContentsSetBack where
    it reaches further than these; `cursor_expired` when it is older than traces of deleted records that are gone by
    now.
    """
    cursor = await _cursor(tx, request.cursor)
    sight = Sight(registry, reader, now_ms, request.types)
    page = _Page(tx, stretches or Stretches(), registry, sight, request.limit, await tx.lasting(), request.deltas)
    offered: list[str] = []
    scopes = await views_of(tx, sight.grants)
    starts = _Starts(cursor, [await _cursor(tx, text) for text in request.loaded], scopes)
    # Who takes types as they are now holds them in another form when the server is updated.
    types = {spec.name: spec.version for spec in registry} if request.types is None else request.types
    tags = {view: view_tag(sight.grants, view, types) for view in scopes}
    views: dict[str, ViewCursor] = {}
    maybe_offered = {
        view
        for view in scopes
        if request.snapshots and starts.is_new(view, tags[view]) and uniform_roles(sight.grants, view) is not None
    }
    # Which of these are large is asked once all else is sent, and not again for each page before.
    for view in sorted(scopes, key=maybe_offered.__contains__):
        if view in maybe_offered and (page.more or await holds_enough(tx, view, snapshot_from)):
            offered.append(view)
            continue
        start = starts.of(view).resumed(tags[view])
        position = await page.read(view, start)
        complete = page.complete.get(view, start.complete)
        views[view] = msgspec.structs.replace(start, position=position, complete=complete)
    for view in offered:
        views[view] = ViewCursor(FeedPosition(), tags[view], strayed=page.strayed(view, starts.of(view)))
    return PullResponse(
        epoch=cursor.epoch,
        server_ms=now_ms,
        stamp=stamp_at(now_ms),
        cursor=Cursor(cursor.epoch, views, cursor.purged).encode(),
        more=page.more or bool(offered),
        scopes=sorted(views),
        records=list(page.records.values()),
        forget=sorted(page.forget - page.records.keys()),
        authority=authority_tag(reader.grants, now_ms),
        offers=[] if page.more else offered,
    )


async def holds_enough(tx: ReadTransaction, view: str, snapshot_from: int) -> bool:
    """Whether a view is large enough to come as a snapshot."""
    return await tx.feed_holds(feed_key(view), FeedPosition(), snapshot_from)


async def _cursor(tx: ReadTransaction, text: str | None) -> Cursor:
    """The cursor to go on from, noting what is purged by now: the page that it begins may rely on that."""
    epoch, purged = await tx.epoch(), await tx.purged()
    if text is None:
        return Cursor(epoch, {}, purged)
    cursor = Cursor.decode(text)
    if cursor.epoch != epoch:
        raise SyncError("epoch_changed", f"the cursor is of {cursor.epoch}, the store of {epoch}")
    cursor.check(await tx.horizon())
    stale = any(FeedPosition() < view.reached < purged for view in cursor.views.values())
    if stale and cursor.purged < purged:
        raise SyncError("cursor_expired", "deleted records the device may hold are not remembered any more")
    return Cursor(epoch, cursor.views, purged)


class _Starts:
    """Where each view is read on from: as the cursor says, or behind a snapshot that was loaded since."""

    def __init__(self, cursor: Cursor, loaded: Iterable[Cursor], views: Iterable[str]) -> None:
        self._known = cursor.views
        self._loaded = {view: start for one in loaded for view, start in one.views.items()}
        self._lost = cursor.views.keys() - set(views)
        # What the device holds may lie in a view that is new to it: of a wider one that it has lost.
        held = max((view.reached for view in cursor.views.values()), default=FeedPosition())
        self._never_read = ViewCursor(FeedPosition(), "", held)

    def of(self, view: str) -> ViewCursor:
        """How far the device has come with `view`."""
        known, loaded = self._known.get(view), self._loaded.get(view)
        if known is not None and not known.unread:
            return known
        if self._may_hold_of(view):
            before = max(self._never_read.before, loaded.reached if loaded else FeedPosition())
            return ViewCursor(FeedPosition(), "", before)
        if loaded is not None and known is not None and FeedPosition() < known.strayed < loaded.position:
            # What other views brought may have left this one by the time its snapshot was made.
            return msgspec.structs.replace(loaded, position=known.strayed)
        return loaded or known or self._never_read

    def is_new(self, view: str, tag: str) -> bool:
        """Whether the device holds nothing for the sake of `view`, and nothing of it that it must forget.

        What it was brought by others as a reader of other roles than `tag` says it may have to forget.
        """
        known = self._known.get(view)
        unread = known is None or (known.unread and (known.strayed == FeedPosition() or known.roles == tag))
        return unread and view not in self._loaded and not self._may_hold_of(view)

    def _may_hold_of(self, view: str) -> bool:
        """Whether a view that the reader has lost may have brought records of `view`: only other areas have not."""
        return any(not one.startswith("grid:") or covers(one, view) or covers(view, one) for one in self._lost)


def view_tag(grants: Iterable[Grant], view: str, types: Mapping[str, int]) -> str:
    """What a view is read by, as its cursor holds it: the roles, and the types the reader knows."""
    return tag_of(_grants_within(grants, view)) + tag_of(f"{name} {version}" for name, version in types.items())


def uniform_roles(grants: Iterable[Grant], view: str) -> frozenset[Role] | None:
    """The roles that `grants` give over all of an area; None where parts of it have more, and for other views."""
    if not view.startswith("grid:"):
        return None
    held = [*grants]
    over = frozenset(grant.role for grant in held if covers(grant.scope, view))
    parts = {grant.role for grant in held if covers(view, grant.scope)}
    return over if parts <= over else None


def _grants_within(grants: Iterable[Grant], view: str) -> set[str]:
    """What decides who may see what within a view: the roles held over all of it, and those over parts of it.

    Records of one area may also lie with a person, department or case, and those of the latter in any area.
    """
    over = {grant.role.value for grant in grants if covers(grant.scope, view)}
    in_area = view.startswith("grid:")
    beside = [grant for grant in grants if not (in_area and grant.scope.startswith("grid:"))]
    parts = [grant for grant in grants if covers(view, grant.scope)]
    return over | {f"{grant.role} {grant.scope}" for grant in (*parts, *beside)}


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

    def __init__(
        self,
        tx: ReadTransaction,
        stretches: Stretches,
        registry: Registry,
        sight: Sight,
        limit: int,
        lasting: FeedPosition,
        deltas: bool,
    ) -> None:
        self.tx = tx
        self.registry = registry
        self._stretches = stretches
        self.sight = sight
        self.limit = limit
        self.lasting = lasting
        self.records: dict[uuid.UUID, WireRecord] = {}
        self.forget: set[uuid.UUID] = set()
        self.complete: dict[str, int] = {}
        self.more = False
        self._own: dict[str, FeedPosition] = {}
        self._strayed: set[str] = set()
        self._deltas = deltas
        self._bytes = 0

    async def read(self, view: str, start: ViewCursor) -> FeedPosition:
        """Add what fits from `view`; the position reached.

        What the device may hold of the view and may not see any more it is told to forget.
        """
        reached = await self._read(view, start)
        if not view.startswith("grid:"):
            self._own[view] = reached
        elif view not in self.complete and start.position == FeedPosition() < reached:
            await self._add_awaited(view)
        return reached

    def strayed(self, view: str, start: ViewCursor) -> FeedPosition:
        """From where on there stands what becomes of records of `view` that other views have brought."""
        if start.strayed > FeedPosition() or not any(covers(view, scope) for scope in self._strayed):
            return start.strayed
        return self.lasting

    async def _read(self, view: str, start: ViewCursor) -> FeedPosition:
        after, largest = start.position, start.complete
        while not self._is_full(begun=after > start.position):
            for stretch in await self._stretches.read(self.tx, feed_key(view), after, self._room):
                if self._bytes > PAGE_BYTES:
                    break
                self._take(view, stretch, start)
                await self._take_gone(stretch, start)
                after, largest = stretch.last, max(largest, stretch.largest)
                if stretch.ends:
                    self.complete[view] = largest
                    return max(after, self.lasting)
        self.more = True
        return after

    @property
    def _room(self) -> int:
        return self.limit - len(self.records) - len(self.forget)

    def _is_full(self, *, begun: bool) -> bool:
        # A page ends with a whole stretch, if it has one: so does the next begin where those of others do.
        return self._room < (self._stretches.length if begun else 1) or self._bytes > PAGE_BYTES

    async def _add_awaited(self, view: str) -> None:
        """Add the conflicts and refusals of an area that takes more pages, wherever they lie in it."""
        shown = map(self.sight.show, await self._stretches.of_types(self.tx, feed_key(view), AWAITED))
        self._add(record for record in shown if record is not None)

    def _take(self, view: str, stretch: Stretch, start: ViewCursor) -> None:
        # The device may hold records that were written since it read them, by roles that it has lost meanwhile.
        lost_roles = start.before > FeedPosition()
        held = start.complete if self._deltas else 0
        for kind in stretch.kinds:
            lens = self.sight.lens(kind.type, kind.scopes)
            if lens is None:
                self.forget.update(record.id for record in kind.records if lost_roles or self._may_have_moved(record))
            elif len(kind.scopes) > 1 and (sent := self._sent_as_own(view, kind.scopes)) is not None:
                # What is deleted a snapshot may have brought back since: the device held nothing newer against it.
                again = (one for one in kind.records if one.deleted or FeedPosition(one.tx, one.version) > sent)
                self._add([lens.shows(record, held) for record in again])
            elif held:
                self._add([lens.shows(record, held) for record in kind.records])
            else:
                self.records.update(kind.shown(lens))
                self._bytes += kind.size

    async def _take_gone(self, stretch: Stretch, start: ViewCursor) -> None:
        """What has left the view and may be seen elsewhere is shown as it is there, all else is to be forgotten."""
        for record in (await self.tx.records(stretch.gone)).values() if stretch.gone else ():
            lens = self.sight.lens(record.type, record.scopes)
            if lens is None:
                self.forget.add(record.id)
            else:
                self._strayed.update(record.scopes)
                self._add([lens.shows(record, start.complete if self._deltas else 0)])

    def _sent_as_own(self, view: str, scopes: Iterable[str]) -> FeedPosition | None:
        """Up to where the reader has what lies in `scopes` because it is also an own thing, seen as it is now: other
        grants would have made the reading of own things begin anew. Not so with another area."""
        if not view.startswith("grid:"):
            return None
        return max((self._own[scope] for scope in scopes if scope in self._own), default=None)

    def _add(self, shown: Iterable[WireRecord]) -> None:
        for record in shown:
            # What another view has sent whole stays whole.
            if (known := self.records.get(record.id)) is None or known.since:
                self.records[record.id] = record
                self._bytes += memoryview(record.fields).nbytes

    def _may_have_moved(self, record: StoredRecord) -> bool:
        """Whether the record's place was ever changed: a move within a feed leaves no entry of its own.

        The moment of the move does not count. Versions and feed positions may be ordered differently, and to name
        the id of a record that the device never had does no harm.
        """
        if record.type not in self.registry:
            return False
        spec = self.registry.get(record.type)
        if record.type_version > spec.version:
            return True
        return not spec.scope_fields.isdisjoint(spec.renamed(_marks(record.marks), record.type_version))
