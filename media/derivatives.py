"""What is made from a picture for people to look at: which sizes, and what is hidden for publication."""

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]


class Region(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rectangle in the upright picture, in shares of its width and height from the top left corner."""

    left: Share
    top: Share
    width: Share
    height: Share


class Derivative(msgspec.Struct, frozen=True, kw_only=True):
    """A picture to be made: at most `side_px` on its longer side, upright, without any metadata.

    Whatever lies in `hidden` is painted over with colours taken from outside of it: nothing of it is left in the
    result that could be recovered.
    """

    side_px: Annotated[int, Meta(ge=16, le=8192)]
    media_type: Literal["image/jpeg", "image/webp"] = "image/jpeg"
    quality: Annotated[int, Meta(ge=1, le=95)] = 82
    hidden: Annotated[tuple[Region, ...], Meta(max_length=100)] = ()

    @property
    def name(self) -> str:
        """16 hex digits under which what is made from a blob may be kept: equal for equal wishes."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


THUMBNAIL = Derivative(side_px=320, quality=75)
SCREEN = Derivative(side_px=1600)
SIZES = {"thumbnail": THUMBNAIL, "screen": SCREEN}
"""What readers can ask for by name."""


class DerivativeError(Exception):
    """No derivative can be made; `code` is the finding that says why, `detail` what the decoder said."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
