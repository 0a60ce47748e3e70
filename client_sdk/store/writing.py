"""Local writes: judged by the same rules as on the server, then record and outbox entry in one transaction."""

import contextlib
import enum
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from client_sdk.errors import Invalid, NotAllowed
from client_sdk.identity import Identity
from client_sdk.store.media import MediaUse
from client_sdk.store.meta import Account
from client_sdk.store.outbox import Framed
from client_sdk.store.overlay import apply, own_write
from client_sdk.store.records import RecordRow
from client_sdk.store.thread import Tables
from field_schemas.access import Role
from field_schemas.media import digests_in
from field_schemas.record import RecordType
from sync.authority import Actor, HeldRoles, permit_create, permit_delete, permit_place, permit_update
from sync.clock import HybridClock, TrustedClock
from sync.errors import Refused
from sync.messages import MAX_CHANGE_BYTES, Change, Outcome

Permit = Callable[[HeldRoles, int], frozenset[Role]]
_encode = msgspec.msgpack.Encoder().encode
_NAMES_MEDIA = b"digest"


class Kind(enum.Enum):
    """What a local write does to its record."""

    CREATE = enum.auto()
    UPDATE = enum.auto()
    DELETE = enum.auto()


class LocalWrite(msgspec.Struct, frozen=True):
    """One write to carry out. `seen` is the version its author looked at, `patch` the MessagePack of its fields.

    `settles` and `undoes` are as in `Change`.
    """

    kind: Kind
    change: uuid.UUID
    spec: RecordType[Any]
    record: uuid.UUID
    patch: bytes = b"\x80"
    seen: int = 0
    settles: uuid.UUID | None = None
    undoes: uuid.UUID | None = None


class Author(msgspec.Struct, frozen=True):
    """Who writes, and by which clocks."""

    identity: Identity
    account: Account
    stamps: HybridClock
    clock: TrustedClock

    @property
    def actor(self) -> Actor:
        """The author as the rules know them."""
        return Actor(self.account.user, self.identity.device, self.account.grants)

    def permitted(self, permit: Permit) -> frozenset[Role]:
        """The roles by which a write is permitted. Raises Refused where it is at no time that it may be now: the
        server knows better, and has the last word."""
        roles = HeldRoles(self.actor)
        *others, least_likely = self.clock.perhaps_ms()
        for at_ms in others:
            with contextlib.suppress(Refused):
                return permit(roles, at_ms)
        return permit(roles, least_likely)


def commit(tables: Tables, author: Author, writes: list[LocalWrite]) -> list[RecordRow]:
    """Carry out the writes together; the records after each. Raises NotAllowed or Invalid, then nothing is stored."""
    check_keeper(tables, author)
    seq = tables.outbox.next_seq()
    rows = [_carry_out(tables, author, write, seq + n) for n, write in enumerate(writes)]
    tables.meta.stamp = author.stamps.last
    return rows


def check_keeper(tables: Tables, author: Author) -> None:
    """Raise NotAllowed where the store has passed to somebody else while what the author does waited for its turn."""
    if (keeper := tables.meta.identity) is None or keeper.device != author.identity.device:
        raise NotAllowed("token_missing", "another user has taken the device over")


def _carry_out(tables: Tables, author: Author, write: LocalWrite, seq: int) -> RecordRow:
    if len(write.patch) > MAX_CHANGE_BYTES:
        raise Invalid("change_too_large", f"more than {MAX_CHANGE_BYTES} bytes")
    if write.settles is not None and not is_open(tables, write.settles):
        raise NotAllowed("refusal_closed", f"refusal {write.settles}")
    if write.undoes is not None and _is_undone(tables, write):
        raise NotAllowed("already_undone", f"change {write.undoes}")
    before = tables.records.get(write.record)
    stamp = author.stamps.tick()
    try:
        after = _judged(tables, author, write, before, stamp)
    except Refused as refused:
        raise NotAllowed(refused.code, refused.detail) from refused
    change = Change(
        id=write.change,
        seq=seq,
        type=write.spec.name,
        record=write.record,
        stamp=stamp,
        captured=author.clock.captured(),
        fields=msgspec.Raw(write.patch),
        base=min(write.seen, before.version) if before else 0,
        delete=write.kind is Kind.DELETE,
        type_version=write.spec.version,
        settles=write.settles,
        undoes=write.undoes,
    )
    tables.outbox.add(Framed(author.account.user, author.clock.now_ms(), change))
    tables.records.put(after)
    _note_media(tables, write)
    return after


def _note_media(tables: Tables, write: LocalWrite) -> None:
    """Note which of the attached files a write names, by whatever way their MediaRef came into it."""
    if _NAMES_MEDIA in write.patch:
        patch: dict[str, Any] = msgspec.msgpack.decode(write.patch)
        for field, value in patch.items():
            for digest in digests_in(value):
                tables.media.note_use(digest, MediaUse(write.record, field))


def is_open(tables: Tables, refusal: uuid.UUID) -> bool:
    """Whether a refusal on this device still waits for somebody: no change here, sent or not, settles it."""
    row = tables.records.get(refusal)
    if row is None or row.deleted:
        return False
    fields = row.decoded()
    about = uuid.UUID(fields["record"])
    return fields["state"] == "open" and all(one.settles != refusal for one in tables.outbox.live(about.bytes))


def _is_undone(tables: Tables, write: LocalWrite) -> bool:
    """Whether this device took the same change back before."""
    own = tables.outbox.of_record(write.record)
    return any(row.change.undoes == write.undoes and row.outcome is not Outcome.REFUSED for row in own)


def _judged(tables: Tables, author: Author, write: LocalWrite, before: RecordRow | None, stamp: int) -> RecordRow:
    if write.kind is Kind.CREATE:
        if before is not None:
            raise Invalid("value_invalid", f"there is a record {write.record} already")
        return _created(tables, author, write, stamp)
    if before is None or before.type != write.spec.name:
        raise Invalid("record_unknown", f"there is no {write.spec.name} {write.record} on this device")
    if before.deleted:
        raise Invalid("record_deleted", f"{write.spec.name} {write.record} was deleted")
    before = before._replace(server=before.server_fields)
    scopes = write.spec.scopes(before.decoded(), before.owner)
    if write.kind is Kind.DELETE:
        author.permitted(lambda roles, at_ms: permit_delete(write.spec, roles, scopes, at_ms))
        return before._replace(deleted=True)
    return _updated(author, write, before, scopes, stamp)


def _created(tables: Tables, author: Author, write: LocalWrite, stamp: int) -> RecordRow:
    spec = write.spec
    patch: dict[str, Any] = msgspec.msgpack.decode(write.patch)
    if missing := spec.required - patch.keys():
        raise Invalid("field_missing", f"{spec.name} needs {', '.join(sorted(missing))}")
    scopes = spec.scopes(patch, author.account.user)
    roles = author.permitted(lambda held, at_ms: permit_create(spec, held, patch, scopes, at_ms))
    fields = apply(spec, None, patch, own_write(stamp, author.identity.device, roles))
    return RecordRow(
        id=write.record.bytes,
        type=spec.name,
        version=0,
        owner=author.account.user,
        round=tables.meta.progressed.round,
        gone=False,
        deleted=False,
        fields=_encode(fields),
        server=None,
    )


def _updated(author: Author, write: LocalWrite, before: RecordRow, scopes: tuple[str, ...], stamp: int) -> RecordRow:
    spec = write.spec
    patch: dict[str, Any] = msgspec.msgpack.decode(write.patch)
    roles = author.permitted(lambda held, at_ms: permit_update(spec, held, patch, scopes, at_ms))
    fields = apply(spec, before.decoded(), patch, own_write(stamp, author.identity.device, roles))
    if (placed := spec.scopes(fields, before.owner)) != scopes:
        allowed = spec.access.write | spec.access.create
        author.permitted(lambda held, at_ms: permit_place(spec, held, placed, allowed, at_ms))
    return before._replace(fields=_encode(fields))
