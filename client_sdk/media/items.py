"""What the SDK tells of photos and videos: what was attached, and what has become of it."""

import enum
import uuid
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from client_sdk.store.media import Delivery, QueuedMedia, Urgency
from field_schemas.codes import CODES
from field_schemas.labels import Label
from field_schemas.media import MediaRef, MediaType
from field_schemas.media_findings import CheckFinding
from field_schemas.record import Record
from field_schemas.types.media_check import MediaCheck

R = TypeVar("R", bound=Record)


class MediaState(enum.StrEnum):
    """Where a photo or video stands: on its way, held by the server, or checked there."""

    WAITING = "waiting"
    UPLOADING = "uploading"
    HELD = "held"
    REFUSED = "refused"
    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    SUSPECT = "suspect"


STATE_WORDS = {
    MediaState.WAITING: Label("等待上传", "waiting"),
    MediaState.UPLOADING: Label("上传中", "uploading"),
    MediaState.HELD: Label("已送达，待核验", "held, not checked yet"),
    MediaState.REFUSED: Label("服务器不接收", "not taken by the server"),
    MediaState.VERIFIED: Label("已证实", "verified"),
    MediaState.UNVERIFIED: Label("未证实", "unverified"),
    MediaState.SUSPECT: Label("可疑", "suspect"),
}


class Attached(msgspec.Struct, Generic[R], frozen=True):
    """A record that names a photo or video now, how it names it, and what would keep that from being verified.

    `words()` of a warning says it in Chinese and English: "No position in this photo".
    """

    record: R
    ref: MediaRef
    warnings: tuple[CheckFinding, ...]


class MediaItem(msgspec.Struct, frozen=True, kw_only=True):
    """A photo or video that was attached on this device, and what has become of it.

    `sent` of `size` bytes are held by the server. `reason` and `advice` say, in the user's words, why it waits or was
    not taken. `findings` are those of its check. `record` is None where a damaged store has lost what named it.
    """

    digest: str
    name: str
    media_type: MediaType
    size: int
    urgency: Urgency
    record: uuid.UUID | None
    state: MediaState
    sent: int
    reason: Label | None = None
    advice: Label | None = None
    findings: tuple[CheckFinding, ...] = ()

    def words(self) -> Label:
        """Its state for people to read: "uploading 40 %"."""
        words = STATE_WORDS[self.state]
        if self.state is not MediaState.UPLOADING:
            return words
        return Label(f"{words.zh} {self.percent} %", f"{words.en} {self.percent} %")

    @property
    def percent(self) -> int:
        """How much of it the server holds."""
        return 100 * self.sent // self.size


OnMediaItem = Callable[[MediaItem], None]


def item_of(queued: QueuedMedia, record: uuid.UUID | None = None, check: MediaCheck | None = None) -> MediaItem:
    """A file of the queue that `record` names as the user sees it, with the check of it where there is one."""
    code = CODES.get(queued.code or "")
    return MediaItem(
        digest=queued.digest,
        name=queued.name,
        media_type=queued.media_type,
        size=queued.size,
        urgency=queued.urgency,
        record=record,
        state=MediaState(check.verdict) if check else _state(queued),
        sent=queued.size if queued.state is Delivery.HELD else queued.sent,
        reason=code.title if code else None,
        advice=code.advice if code else None,
        findings=tuple(check.findings) if check else (),
    )


def _state(queued: QueuedMedia) -> MediaState:
    if queued.state is Delivery.WAITING:
        return MediaState.UPLOADING if queued.sent else MediaState.WAITING
    return MediaState(queued.state)
