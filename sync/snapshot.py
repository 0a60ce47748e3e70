"""Snapshots: all that readers of the same roles see in one area, in blocks that a device loads instead of pages.

A block is compressed MessagePack: records of one type with the same fields form a group, and a group travels column
by column, which takes an eighth less room than record by record and lets the device index a column at a time.
"""

import hashlib
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import NamedTuple

import msgspec
import zstandard

from field_schemas.access import Grant, Role
from field_schemas.registry import Registry
from field_schemas.scopes import covers, feed_key
from sync.authority import Actor
from sync.cursor import Cursor, ViewCursor
from sync.errors import SyncError
from sync.forms import behind
from sync.messages import SnapshotRequest, WireRecord
from sync.pull import AWAITED, SNAPSHOT_FROM, holds_enough, uniform_roles, view_tag, views_of
from sync.storage import FeedPosition, ReadTransaction, StoredRecord
from sync.visible import Sight, grants_held

BLOCK_RECORDS = 8_000
"""Records in a block: about 400 kB on the wire, and one transaction of the device."""
BLOCK_BYTES = 4_000_000
"""A block ends once its records' fields hold so many bytes."""
LARGEST_BLOCK = 64_000_000
"""What a block may be when decompressed, in bytes."""
_LEVEL = 9
_PAGE = 1_000
_ID_BYTES = 16
_FIXED_MAP, _MAP_16, _ARRAY_32 = 0x80, b"\xde", b"\xdd"
_NOBODY = uuid.UUID(int=0)
_encode = msgspec.msgpack.Encoder().encode
_sorted = msgspec.msgpack.Encoder(order="deterministic").encode
_columns = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode


class BlockDamaged(ValueError):
    """The bytes are not a block."""


class SnapshotKey(msgspec.Struct, frozen=True):
    """What decides what a snapshot holds, but for the moment: readers who differ in nothing here see the same.

    `types` are the record types the readers know, each with the version they know it in.
    """

    epoch: uuid.UUID
    view: str
    roles: tuple[Role, ...]
    types: tuple[tuple[str, int], ...]

    def digest(self, registry: Registry) -> str:
        """A name of 32 hex digits, another one also where `registry` lets the roles see something else."""
        declared = [
            (spec.name, spec.version, spec.access.read, spec.readable_fields(self.roles))
            for spec in sorted(registry, key=lambda spec: spec.name)
        ]
        return hashlib.blake2b(_sorted((self, declared)), digest_size=16).hexdigest()


class RecordGroup(msgspec.Struct, frozen=True, array_like=True):
    """Records of one type with the same fields. `ids` are 16 bytes each; a column holds one field's values."""

    type: str
    names: list[str]
    ids: bytes
    versions: list[int]
    owners: list[str | None]
    columns: list[list[msgspec.Raw]]

    def record_ids(self) -> list[bytes]:
        """The ids one by one."""
        return [self.ids[start : start + _ID_BYTES] for start in range(0, len(self.ids), _ID_BYTES)]

    def fields(self) -> Iterator[bytes]:
        """The records' fields as MessagePack objects."""
        head = _map_head(len(self.names))
        if not self.names:
            return repeat(head, len(self.versions))
        keys = [repeat(_encode(name)) for name in self.names]
        return map(b"".join, zip(repeat(head), *chain(*zip(keys, self.columns, strict=True))))

    def records(self) -> Iterator[WireRecord]:
        """The records one by one."""
        ids = msgspec.convert(self.record_ids(), list[uuid.UUID])
        for record, version, owner, fields in zip(ids, self.versions, self.owners, self.fields(), strict=True):
            yield WireRecord(record, self.type, version, msgspec.Raw(fields), owner)


_groups = msgspec.msgpack.Decoder(list[RecordGroup]).decode


class Moment(NamedTuple):
    """When a snapshot was made: all up to `position` is in it, and traces of deleted records were there from `purged`
    on. It is of use as long as these traces reach back to `position`."""

    position: FeedPosition
    purged: FeedPosition


class Cut(msgspec.Struct):
    """The records of one block to be. Those `apart` are to be fetched first: people wait for them, or they lie in
    further areas too, where more of them may be seen."""

    records: list[WireRecord] = []
    apart: list[uuid.UUID] = []
    size: int = 0


async def key_of(
    tx: ReadTransaction,
    registry: Registry,
    reader: Actor,
    request: SnapshotRequest,
    now_ms: int,
    snapshot_from: int = SNAPSHOT_FROM,
) -> SnapshotKey:
    """Which snapshot `reader` is to get.

    Raises SyncError `scope_denied` for what is never offered to the reader, `server_behind` where the reader's
    program knows a type in a newer form.
    """
    grants = grants_held(reader, now_ms)
    roles = uniform_roles(grants, request.scope)
    if roles is None or request.scope not in await views_of(tx, grants):
        raise SyncError("scope_denied", f"{request.scope} is no area over which the reader's roles are the same")
    if not await holds_enough(tx, request.scope, snapshot_from):
        raise SyncError("scope_denied", f"{request.scope} is too small for a snapshot")
    known = [
        (spec.name, spec.version if request.types is None else request.types[spec.name])
        for spec in registry
        if request.types is None or spec.name in request.types
    ]
    for name, version in known:
        if version > (spec := registry.get(name)).version:
            raise behind(spec, version)
    return SnapshotKey(await tx.epoch(), request.scope, tuple(sorted(roles)), tuple(sorted(known)))


def is_current(registry: Registry, key: SnapshotKey) -> bool:
    """Whether the snapshot is for readers who know all that this program does."""
    return key.types == tuple(sorted((spec.name, spec.version) for spec in registry))


async def moment_of(tx: ReadTransaction) -> Moment:
    """The moment that `tx` sees."""
    return Moment(await tx.lasting(), await tx.purged())


async def is_of_use(tx: ReadTransaction, made: Moment) -> bool:
    """Whether a snapshot of that moment can be followed: traces of what was deleted since are there, and so is the
    moment itself, which it is not where the contents were set back behind the files' backs."""
    return await tx.purged() <= made.position <= await tx.horizon()


def cursor_behind(key: SnapshotKey, made: Moment, reader: Actor, request: SnapshotRequest, now_ms: int) -> str:
    """The cursor of `reader` who has loaded the snapshot that was `made` then."""
    tag = view_tag(grants_held(reader, now_ms), key.view, dict(key.types) if request.types is None else request.types)
    return Cursor(key.epoch, {key.view: ViewCursor(made.position, tag)}, made.purged).encode()


async def may_read(tx: ReadTransaction, key: SnapshotKey, reader: Actor, now_ms: int) -> bool:
    """Whether `reader` has the roles that the snapshot was made for."""
    grants = grants_held(reader, now_ms)
    roles = uniform_roles(grants, key.view)
    return (
        roles is not None
        and tuple(sorted(roles)) == key.roles
        and key.view in await views_of(tx, grants)
        and await tx.epoch() == key.epoch
    )


async def cuts(
    tx: ReadTransaction, registry: Registry, key: SnapshotKey, now_ms: int, block_records: int = BLOCK_RECORDS
) -> AsyncIterator[Cut]:
    """All living records of the snapshot, as its readers see them, in the order of the feed."""
    grants = tuple(Grant(key.view, role) for role in key.roles)
    sight = Sight(registry, Actor("", _NOBODY, grants), now_ms, dict(key.types))
    after, cut = FeedPosition(), Cut()
    while entries := await tx.feed(feed_key(key.view), after, _PAGE):
        stored = await tx.records({entry.record for entry in entries})
        for entry in entries:
            record = stored[entry.record]
            if not entry.gone and not record.deleted:
                _show(sight, key.view, record, cut)
            if len(cut.records) == block_records or cut.size >= BLOCK_BYTES:
                yield cut
                cut = Cut()
        after = entries[-1].position
    yield cut


def _show(sight: Sight, view: str, record: StoredRecord, cut: Cut) -> None:
    if (wire := sight.show(record)) is None:
        return
    areas = [scope for scope in record.scopes if scope.startswith("grid:")]
    if record.type in AWAITED or len({covers(view, area) for area in areas}) > 1:
        cut.apart.append(record.id)
    else:
        cut.records.append(wire)
        cut.size += memoryview(wire.fields).nbytes


def encode_block(records: Iterable[WireRecord]) -> bytes:
    """The records as a block."""
    kinds: dict[tuple[str, tuple[str, ...]], list[tuple[WireRecord, list[msgspec.Raw]]]] = {}
    for record in records:
        fields = _columns(record.fields)
        kinds.setdefault((record.type, tuple(fields)), []).append((record, list(fields.values())))
    groups = [
        RecordGroup(
            type_name,
            list(names),
            b"".join(record.id.bytes for record, _ in members),
            [record.version for record, _ in members],
            [record.owner for record, _ in members],
            [list(column) for column in zip(*(values for _, values in members), strict=True)],
        )
        for (type_name, names), members in kinds.items()
    ]
    return zstandard.ZstdCompressor(level=_LEVEL).compress(_encode(groups))


def decode_block(block: bytes) -> list[RecordGroup]:
    """What `encode_block` made into a block. Raises BlockDamaged."""
    try:
        if not 0 <= zstandard.frame_content_size(block) <= LARGEST_BLOCK:
            raise BlockDamaged("the block does not say that it is of reasonable size")
        groups = _groups(zstandard.ZstdDecompressor().decompress(block))
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise BlockDamaged(str(error)) from error
    if not all(map(_is_whole, groups)):
        raise BlockDamaged("the columns of a group differ in length")
    return groups


def joined(column: Sequence[msgspec.Raw]) -> bytes:
    """The values of a column as one MessagePack array."""
    return _ARRAY_32 + len(column).to_bytes(4, "big") + b"".join(column)


def _is_whole(group: RecordGroup) -> bool:
    lengths = {len(group.versions), len(group.owners), *map(len, group.columns)}
    return lengths == {len(group.ids) / _ID_BYTES} and len(group.columns) == len(group.names)


def _map_head(size: int) -> bytes:
    return bytes([_FIXED_MAP | size]) if size < 16 else _MAP_16 + size.to_bytes(2, "big")
