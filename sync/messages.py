"""The messages of push and pull, as they travel in JSON or MessagePack (docs/protocol.md)."""

import enum
import uuid
from typing import Annotated

import msgspec

from sync.clock import Captured

MAX_BATCH = 1_000
"""Changes in one push."""
MAX_CHANGE_BYTES = 1_000_000
"""Encoded fields of one change."""
MAX_PAGE = 10_000
"""Records in one page of a pull."""
MAX_INTEGER = 2**53 - 1


Sequence = Annotated[int, msgspec.Meta(ge=1, le=MAX_INTEGER)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]


class Outcome(enum.StrEnum):
    """The verdict on a change; every change gets exactly one."""

    APPLIED = "applied"
    MERGED = "merged"
    CONFLICT = "conflict"
    REFUSED = "refused"


class Change(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One write of one record, made on a device.

    `seq` counts a device's changes from 1 without holes. `base` is the record's version the author saw, 0 for a
    record made here. `stamp` orders writes (sync.clock). `fields` is an object of field name to operand, whose
    meaning the field's merge policy gives: a value, a difference, elements or entries.
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


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
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


class PushRequest(msgspec.Struct, frozen=True):
    """Changes of the signed-in device, in the order of their sequence numbers."""

    changes: list[Change]


class PushResponse(msgspec.Struct, frozen=True):
    """One verdict a change, in the order sent. The server holds the device's changes 1 to `held`, durably."""

    epoch: uuid.UUID
    server_ms: int
    held: int
    verdicts: list[Verdict]


class PullRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for what changed since `cursor` (None: everything); at most `limit` records a page."""

    cursor: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 2_000


class WireRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record as its reader may see it; `fields` is an object of field name to value."""

    id: uuid.UUID
    type: str
    version: int
    fields: msgspec.Raw = msgspec.Raw(b"\x80")
    owner: str | None = None
    deleted: bool = False


class PullResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of records in any order; ask again with `cursor` while `more`.

    `forget` are records that left the reader's scopes. `scopes` are all scopes the reader now receives: records
    that lie in none of them are to be dropped.
    """

    epoch: uuid.UUID
    server_ms: int
    stamp: int
    cursor: str
    more: bool
    scopes: list[str]
    records: list[WireRecord]
    forget: list[uuid.UUID] = []
