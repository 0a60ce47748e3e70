"""What the SDK tells its caller: progress, reports, pending work, verdicts, things that need a person."""

import enum
import uuid
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from sync.messages import Outcome


class Progress(msgspec.Struct, frozen=True):
    """How far a sync is: changes pushed, records pulled or scopes verified, of `total` where that is known."""

    phase: Literal["push", "pull", "verify"]
    done: int
    total: int | None = None


OnProgress = Callable[[Progress], None]


class VerifyReport(msgspec.Struct, frozen=True):
    """What a verification found: of `compared` records of the server's, those in `scopes` scopes, how many had to be
    `fetched` or `forgotten` to make this device's copies the same. Requests and bytes are its own."""

    scopes: int
    compared: int
    fetched: int
    forgotten: int
    requests: int
    bytes_sent: int
    bytes_received: int


class SyncReport(msgspec.Struct, frozen=True):
    """What one sync did. Bytes are those of bodies as they travelled; `verdicts` counts by `Outcome`.

    `verified` is the verification that this sync made, None where none was due.
    """

    pushed: int
    verdicts: dict[str, int]
    pulled: int
    forgotten: int
    bytes_sent: int
    bytes_received: int
    requests: int
    seconds: float
    verified: VerifyReport | None = None


class SyncState(enum.StrEnum):
    """What the device is doing about its server."""

    IDLE = "idle"
    SYNCING = "syncing"
    OFFLINE = "offline"
    """The last attempt did not get through; nothing is lost."""
    FAILED = "failed"
    """The server answered the last attempt with a problem; see `Status.error`."""
    TOO_OLD = "too_old"
    """Everything was sent, but the app must be updated before it receives anything again."""
    WIPED = "wiped"
    """The device was revoked: everything was sent, then removed from this store."""


class Status(msgspec.Struct, frozen=True):
    """The state of sync, the last report of a sync that went through, and the error of the last one if it failed."""

    state: SyncState
    report: SyncReport | None = None
    error: Exception | None = None


OnStatus = Callable[[Status], None]


class PendingChange(msgspec.Struct, frozen=True):
    """One change not yet sent. `fields` maps field to operand: a value, a difference, elements or entries."""

    change: uuid.UUID
    seq: int
    type: str
    record: uuid.UUID
    fields: dict[str, Any]
    deletes: bool
    created_ms: int


class ChangeVerdict(msgspec.Struct, frozen=True):
    """What became of an own change; `outcome` None while it waits. `attention` is its conflict or refusal record."""

    change: uuid.UUID
    seq: int
    type: str
    record: uuid.UUID
    outcome: Outcome | None
    version: int
    code: str | None
    detail: str | None
    attention: uuid.UUID | None


class Difference(msgspec.Struct, frozen=True):
    """One field of an attention, by its label: the value before, the one that stands, the one offered.

    `standing_by` is the user who wrote what stands, None where that is not known.
    """

    field: str
    label: str
    base: Any
    standing: Any
    offered: Any
    standing_by: str | None = None


class Attention(msgspec.Struct, frozen=True):
    """A conflict or refusal in the user's words.

    `id` is that of the conflict or refusal record, `record` the record it is about; `title` names that record, or
    its type where the record is not here. `reason` says what happened, `advice` what to do. `offered_by` is the user
    whose change it is about, `assignee` the one who is to deal with it, None where nobody was named. The refusal of a
    creation is dealt with together with the `later` ones: those of further changes of the record that never was.
    """

    kind: Literal["conflict", "refusal"]
    id: uuid.UUID
    record: uuid.UUID
    type: str
    title: str
    reason: str
    detail: str
    advice: str
    offered_by: str
    assignee: str | None = None
    differences: tuple[Difference, ...] = ()
    later: tuple[uuid.UUID, ...] = ()
