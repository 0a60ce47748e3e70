"""How far things may lie apart before a check says so."""

from typing import Annotated

import msgspec
from msgspec import Meta


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the checks, units in the names.

    A distance is within bounds when it is at most its threshold plus the accuracies stated by both sides.
    """

    time_gap_s: Annotated[int, Meta(ge=0)] = 900
    """Between a photo's time and its capture: people take the photo, then fill in the form."""
    vague_s: Annotated[int, Meta(ge=1)] = 7_200
    """A capture time with a larger error bound is too vague to compare; it would let anything pass."""
    after_receipt_s: Annotated[int, Meta(ge=0)] = 120
    """How far a photo's time may lie after the server received it."""
    save_gap_s: Annotated[int, Meta(ge=0)] = 120
    """Between taking and saving; phones take seconds to work on a picture."""
    place_gap_m: Annotated[int, Meta(ge=0)] = 50
    """Between a photo's position and the record's."""
    task_gap_m: Annotated[int, Meta(ge=0)] = 100
    """Between a photo's position and the task's place, or the edge of its area."""
    vague_m: Annotated[int, Meta(ge=1)] = 200
    """An accuracy beyond this is too vague to compare; it would let anything pass."""
    thumbnail_bits: Annotated[int, Meta(ge=0, le=64)] = 20
    """Of 64, in which an embedded thumbnail may differ from its picture."""
    same_picture_bits: Annotated[int, Meta(ge=0, le=7)] = 6
    """Of 64, in which two pictures may differ and count as nearly the same; the index finds up to 7."""
