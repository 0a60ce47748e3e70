"""The messages of push and pull, as they travel in JSON or MessagePack (docs/protocol.md)."""

import enum
import uuid
from typing import Annotated

import msgspec

from field_schemas.places import Position
from sync.clock import Captured
from sync.digest import RangeDigest

PROTOCOL = 1
"""The version of these messages."""
MAX_BATCH = 1_000
"""Changes in one push."""
MAX_CHANGE_BYTES = 1_000_000
"""Encoded fields of one change."""
MAX_RECORD_BYTES = 4_000_000
"""Encoded fields of one record, which is read, sent and written as a whole."""
MAX_PAGE = 10_000
"""Records in one page of a pull."""
MAX_FETCH = 1_000
"""Records in one fetch."""
MAX_TYPES = 1_000
"""Record types that a reader names."""
MAX_LOADED = 100
"""Snapshots named in one pull."""
MAX_INTEGER = 2**53 - 1


Sequence = Annotated[int, msgspec.Meta(ge=1, le=MAX_INTEGER)]
KnownTypes = Annotated[
    dict[Annotated[str, msgspec.Meta(max_length=200)], Sequence], msgspec.Meta(max_length=MAX_TYPES)
]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]


class Outcome(enum.StrEnum):
    """The verdict on a change; every change gets exactly one."""

    APPLIED = "applied"
    MERGED = "merged"
    CONFLICT = "conflict"
    REFUSED = "refused"


class Change(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One write of one record, made on a device.

    `seq` counts a device's changes from 1 without holes. `base` is the record's version the author saw, 0 for a
    record made here. `stamp` orders writes (sync.clock). `fields` is an object of field name to operand, whose
    meaning the field's merge policy gives: a value, a difference, elements or entries. `settles` is the refusal that
    this change, corrected, takes the place of; `undoes` the change that it takes back.
    """

    id: uuid.UUID
    seq: Sequence
    type: str
    record: uuid.UUID
    stamp: Count
    captured: Captured
    fields: msgspec.Raw = msgspec.Raw(b"\x80")
    base: Count = 0
    delete: bool = False
    type_version: Sequence = 1
    settles: uuid.UUID | None = None
    undoes: uuid.UUID | None = None


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What became of a change. `version` is the record's version after it, 0 where it was refused.

    `attention` is the conflict or refusal record that a person will deal with; `code` and `detail` say why.
    """

    change: uuid.UUID
    seq: int
    outcome: Outcome
    version: int = 0
    code: str | None = None
    detail: str | None = None
    attention: uuid.UUID | None = None


class PullRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for what changed since `cursor` (None: everything); at most `limit` records a page.

    `types` are the record types the reader knows, each with the version it knows (None: all as they are now).
    `deltas`: of records that the reader holds by its cursor, what changed is enough.
    `snapshots`: large scopes may be offered instead of sent; `loaded` are the cursors of those snapshots that the
    reader has loaded to the end since the last pull.
    """

    cursor: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 2_000
    protocol: Sequence = PROTOCOL
    types: KnownTypes | None = None
    deltas: bool = False
    snapshots: bool = False
    loaded: Annotated[list[str], msgspec.Meta(max_length=MAX_LOADED)] = []


class WireRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record as its reader may see it; `fields` is an object of field name to value.

    With `since` it is a delta (sync.delta): `fields` are those that a copy of version `since` or a later one may
    lack; of the fields in `kept`, a copy's first so many entries stay, and `fields` has those that follow.
    """

    id: uuid.UUID
    type: str
    version: int
    fields: msgspec.Raw = msgspec.Raw(b"\x80")
    owner: str | None = None
    deleted: bool = False
    since: int = 0
    kept: dict[str, int] = {}


class PullResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of records in any order; ask again with `cursor` while `more`.

    `forget` are records that left the reader's scopes. `scopes` are all scopes the reader now receives: records
    that lie in none of them are to be dropped. `authority` differs when the reader's grants do (sync.authority).
    `offers` are those of the scopes whose records come as a snapshot, when all else has been sent.
    """

    epoch: uuid.UUID
    server_ms: int
    stamp: int
    cursor: str
    more: bool
    scopes: list[str]
    records: list[WireRecord]
    forget: list[uuid.UUID] = []
    authority: str = ""
    offers: list[str] = []


class SnapshotRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for the snapshot of a scope that a pull has offered. `types` as in PullRequest."""

    scope: str
    types: KnownTypes | None = None


class SnapshotBlock(msgspec.Struct, frozen=True):
    """One piece of a snapshot's content: its length in `bytes`, its SHA-256 in hex, and how many records it holds."""

    bytes: Count
    records: Count
    sha256: str


class Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that the reader may see in a scope, as of one moment: `blocks` that follow each other in the content `id`.

    `apart` are further records of the scope, to be fetched by id before the blocks. With all of it stored, `cursor`
    goes into PullRequest.loaded. `epoch` is as in PullResponse (None: a server of before).
    """

    id: str
    cursor: str
    blocks: list[SnapshotBlock]
    apart: list[uuid.UUID] = []
    epoch: uuid.UUID | None = None


class SnapshotResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """The snapshot, or nothing while it is still being made: ask again."""

    snapshot: Snapshot | None = None


class PushRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Changes of the signed-in device, in the order of their sequence numbers.

    `pull` asks for the page that a pull right after it would bring: one request instead of two. `epoch` names the
    contents that it is for (None: any): others take nothing of it.
    """

    changes: list[Change]
    pull: PullRequest | None = None
    epoch: uuid.UUID | None = None


class PushResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """One verdict a change, in the order sent. The server holds the device's changes 1 to `held`, durably.

    `page` is the page asked for with `pull`. Without it, though asked for, a pull will tell why.
    """

    epoch: uuid.UUID
    server_ms: int
    held: int
    verdicts: list[Verdict]
    page: PullResponse | None = None


class HistoryEntry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One change of a record's history, with its verdict.

    `fields` is what it set, `before` what the fields it really changed had been; both as the reader may see them.
    `captured_ms` is the estimated true time, wrong by `error_ms` at most (absent: unknown), `wall_ms` what the
    device's own clock said then. `undone` is the record's
    version that took it back. `place` and `grid` are where the record was by it (sync.whereabouts), absent where the
    reader may not read that.
    """

    change: uuid.UUID
    user: str
    device: uuid.UUID
    seq: int
    outcome: Outcome
    base: int
    version: int
    captured_ms: int
    error_ms: int | None = None
    wall_ms: int | None = None
    received_ms: int
    fields: msgspec.Raw
    before: msgspec.Raw
    deletes: bool = False
    code: str | None = None
    detail: str | None = None
    attention: uuid.UUID | None = None
    undone: int | None = None
    place: Position | None = None
    grid: str | None = None


class HistoryResponse(msgspec.Struct, frozen=True):
    """All changes ever sent for a record, oldest first."""

    record: uuid.UUID
    type: str
    entries: list[HistoryEntry]


class DigestRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for the digests of what the reader may see in `scope`, one of PullResponse.scopes, within `prefix`.

    `types` as in PullRequest.
    """

    scope: str
    prefix: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2}){0,5}\Z", max_length=10)] = ""
    types: KnownTypes | None = None


class DigestResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many records the range holds; the digests of the ranges it splits into; and, where they are few, the
    records themselves with their versions."""

    count: int
    ranges: dict[str, RangeDigest]
    records: list[tuple[uuid.UUID, int]] | None = None


class FetchRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for some records by id. `types` as in PullRequest."""

    ids: Annotated[list[uuid.UUID], msgspec.Meta(max_length=MAX_FETCH)]
    types: KnownTypes | None = None


class FetchResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """Those of the records that the reader may see; the others are to be forgotten.

    `epoch` is as in PullResponse (None: a server of before); nothing is to be taken of other contents than those that
    are being read.
    """

    records: list[WireRecord]
    forget: list[uuid.UUID] = []
    epoch: uuid.UUID | None = None


class ReceiptRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for a receipt for the changes after those of the receipt `previous`, in the device's order."""

    changes: Annotated[list[uuid.UUID], msgspec.Meta(max_length=MAX_PAGE)]
    previous: str | None = None


class ReceiptResponse(msgspec.Struct, frozen=True):
    """A signed receipt (sync.receipts): a JSON Web Signature in compact form."""

    receipt: str
