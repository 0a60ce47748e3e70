"""What is claimed of a photo or video, and where pictures were used before."""

from uuid import UUID

import msgspec

from field_schemas.media import MediaRef
from field_schemas.places import Area, Position


class CaptureTime(msgspec.Struct, frozen=True, kw_only=True):
    """When something was captured: true UTC ms, wrong by at most `error_ms` (None: no bound is known).

    `wall_ms` is what the device's own clock said then, `received_ms` when the server received it.
    """

    ms: int
    error_ms: int | None
    wall_ms: int | None = None
    received_ms: int | None = None


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What the record, its task and the enrolment of the device say of a photo or video.

    `digest` as `sha256:<hex>` or `sm3:<hex>`; `ref` is how the record names it. `related` are records that belong to
    one matter with `record`: the same picture in them is no reuse. `grid` is the unit grid of a record that says no
    more of its place. `device` is the model of the enrolled device, with or without its make.
    """

    digest: str
    record: UUID
    capture: CaptureTime
    ref: MediaRef | None = None
    related: frozenset[UUID] = frozenset()
    position: Position | None = None
    task_place: Position | Area | None = None
    grid: Area | None = None
    device: str | None = None


class SeenPicture(msgspec.Struct, frozen=True):
    """A picture that a record names: the digest of its bytes, and its perceptual hash where it has one.

    `named_ms` is when the server received the change by which it does: whose use came first goes by that.
    """

    record: UUID
    digest: str
    fingerprint: int | None
    named_ms: int = 0
