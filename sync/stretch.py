"""Stretches of a feed: read once, then shown to many readers.

After a move of grants, an update or a morning's start, many devices read the same entries of the same feeds. What
the store gave for one is kept, in bounded memory, and serves the next as long as nothing was written to the feed.
Who may see what is decided for each reader anew, kind by kind: all records of one type that lie in the same scopes.
"""

import uuid
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from sync.messages import WireRecord
from sync.storage import FeedEntry, FeedPosition, ReadTransaction, StoredRecord
from sync.visible import Lens

STRETCH = 500
"""Entries in a stretch. Readers start at the same places as long as they read whole ones."""
STRETCH_BYTES = 1_000_000
"""A stretch ends once its records hold so many bytes."""
KEPT_BYTES = 64_000_000
"""What is kept of all feeds together."""
KEPT_FEEDS = 200
"""Feeds of which is kept what they hold of some types."""
_RECORD_BYTES = 900
"""What a record takes beside its fields and marks: the objects around them, twice, and its id."""


class Kind(msgspec.Struct):
    """Records of one type that lie in the same scopes: a reader sees all of them in the same way, or none."""

    type: str
    scopes: tuple[str, ...]
    records: list[StoredRecord] = []
    size: int = 0
    seen: dict[tuple[frozenset[str] | None, int | None], dict[uuid.UUID, WireRecord]] = {}

    def shown(self, lens: Lens) -> dict[uuid.UUID, WireRecord]:
        """The records whole, as readers with this lens see them, by their ids."""
        how = lens.readable, lens.older
        if (shown := self.seen.get(how)) is None:
            shown = self.seen[how] = {record.id: lens.shows(record) for record in self.records}
        return shown


class Stretch(msgspec.Struct):
    """Neighbouring entries of a feed with their records. `ends`: nothing settled follows them; then there may be
    none.

    Of what has left the feed (`gone`) only the ids: its later writes leave no entry here, so it is read anew for each
    reader.
    """

    last: FeedPosition
    ends: bool
    entries: int
    largest: int
    kinds: list[Kind]
    gone: list[uuid.UUID]

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        held = sum(len(record.fields) + len(record.marks) for kind in self.kinds for record in kind.records)
        return held + self.entries * _RECORD_BYTES


class _State(msgspec.Struct, frozen=True):
    """What is another as soon as anything is written to a feed."""

    epoch: uuid.UUID
    purged: FeedPosition
    newest: FeedPosition


class Stretches:
    """What one server process keeps of the feeds it read last, in stretches of `length` entries."""

    def __init__(self, length: int = STRETCH, kept_bytes: int = KEPT_BYTES) -> None:
        self.length = length
        self._kept: OrderedDict[tuple[str, FeedPosition], tuple[_State, Stretch]] = OrderedDict()
        self.size = 0
        self._limit = kept_bytes
        self._of_types: OrderedDict[tuple[str, frozenset[str]], tuple[_State, list[StoredRecord]]] = OrderedDict()

    async def read(self, tx: ReadTransaction, feed: str, after: FeedPosition, room: int) -> list[Stretch]:
        """The next entries of a feed, at most `room` (1 or more), in one stretch or several."""
        kept = await self._known(tx, feed, after, room)
        return kept or await self._fresh(tx, feed, after, room)

    async def of_types(self, tx: ReadTransaction, feed: str, types: frozenset[str]) -> list[StoredRecord]:
        """The living records of these types, of which there are few, that a feed carries."""
        state = await _settled(tx, feed)
        kept = self._of_types.get((feed, types))
        if kept is not None and kept[0] == state:
            return kept[1]
        ids = [one.record async for page in tx.members(feed) for one in page if one.type in types]
        found = list((await tx.records(ids)).values())
        if state is not None:
            self._of_types[feed, types] = state, found
            if len(self._of_types) > KEPT_FEEDS:
                self._of_types.popitem(last=False)
        return found

    async def _known(self, tx: ReadTransaction, feed: str, after: FeedPosition, room: int) -> list[Stretch]:
        found: list[Stretch] = []
        state: _State | None = None
        while (kept := self._kept.get((feed, after))) is not None and kept[1].entries <= room:
            state = state or await _settled(tx, feed)
            if kept[0] != state:
                self._drop((feed, after))
                break
            # While the state was asked for, it may have gone to make room.
            if (feed, after) in self._kept:
                self._kept.move_to_end((feed, after))
            found.append(kept[1])
            after, room = kept[1].last, room - kept[1].entries
            if kept[1].ends or not room:
                break
        return found

    async def _fresh(self, tx: ReadTransaction, feed: str, after: FeedPosition, room: int) -> list[Stretch]:
        wanted = room if room < self.length else room - room % self.length
        entries = await tx.feed(feed, after, wanted)
        stored = await tx.records([entry.record for entry in entries])
        ends = len(entries) < wanted
        cut = list(_cut(entries, stored, self.length))
        found = [_stretch(part, stored, ends and part is cut[-1]) for part in cut]
        if not found:
            return [Stretch(after, True, 0, 0, [], [])]
        if len(entries) >= self.length:
            await self._keep(tx, feed, after, found)
        return found

    async def _keep(self, tx: ReadTransaction, feed: str, after: FeedPosition, found: Iterable[Stretch]) -> None:
        state = await _settled(tx, feed)
        if state is None:
            return
        for stretch in found:
            self._drop((feed, after))
            self._kept[feed, after] = state, stretch
            self.size += stretch.size
            after = stretch.last
        while self.size > self._limit:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, FeedPosition]) -> None:
        if (kept := self._kept.pop(key, None)) is not None:
            self.size -= kept[1].size


async def _settled(tx: ReadTransaction, feed: str) -> _State | None:
    """The state of a feed that is settled to its end; None for another.

    What is written and not settled yet may be followed by something earlier, and the newest entry would not tell.
    """
    newest = await tx.feed_newest(feed)
    return _State(await tx.epoch(), await tx.purged(), newest) if newest <= await tx.horizon() else None


def _cut(
    entries: Sequence[FeedEntry], stored: dict[uuid.UUID, StoredRecord], length: int
) -> Iterator[Sequence[FeedEntry]]:
    """The entries in parts of `length`, or less where their records are large."""
    start = size = 0
    for end, entry in enumerate(entries, start=1):
        size += len(stored[entry.record].fields)
        if end - start == length or size > STRETCH_BYTES:
            yield entries[start:end]
            start, size = end, 0
    if start < len(entries):
        yield entries[start:]


def _stretch(entries: Sequence[FeedEntry], stored: dict[uuid.UUID, StoredRecord], ends: bool) -> Stretch:
    kinds: dict[tuple[str, tuple[str, ...]], Kind] = {}
    for entry in entries:
        if entry.gone:
            continue
        record = stored[entry.record]
        key = record.type, record.scopes
        kind = kinds.get(key)
        if kind is None:
            kind = kinds[key] = Kind(*key)
        kind.records.append(record)
        kind.size += len(record.fields)
    return Stretch(
        entries[-1].position,
        ends,
        len(entries),
        max([entry.version for entry in entries]),
        list(kinds.values()),
        [entry.record for entry in entries if entry.gone],
    )
