"""What the inspection of a file gives, and its limits. No Pillow here: the server's own process reads this."""

from typing import Annotated

import msgspec
from msgspec import Meta

from field_schemas.media import MediaType
from field_schemas.media_findings import CheckFinding
from media.metadata.facts import Origin, PhotoFacts, VideoFacts


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one file may cost, units in the names. A file that wants more gets a finding instead."""

    wall_s: Annotated[float, Meta(gt=0)] = 20.0
    cpu_s: Annotated[int, Meta(ge=1)] = 10
    memory_bytes: Annotated[int, Meta(ge=256 * 2**20)] = 1024 * 2**20
    """Address space of the child, its program and libraries included."""
    pixels: Annotated[int, Meta(ge=1)] = 210_000_000
    """Of a JPEG, which is decoded at an eighth of its size: phones take up to 200 megapixels."""
    scanned_pixels: Annotated[int, Meta(ge=1)] = 2_100_000_000
    """Of a JPEG, counted anew for each of its scans: cameras write one, what is made for the web has about ten."""
    decoded_pixels: Annotated[int, Meta(ge=1)] = 50_000_000
    """Of a picture that must be decoded at full size: PNG, WebP, HEIC."""
    files_per_child: Annotated[int, Meta(ge=1)] = 200
    """After so many files the child makes place for a fresh one."""
    bytes_per_s: Annotated[int, Meta(ge=1)] = 32 * 2**20
    """The seconds grow by what it takes to read a file at this speed, so that long films are read through."""

    def more_s(self, size_bytes: int) -> int:
        """Seconds that a file of this size has beyond `wall_s` and `cpu_s`."""
        return size_bytes // self.bytes_per_s


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a file is: nothing here is judged.

    `digest` as `sha256:<hex>` or `sm3:<hex>`, "" where the file could not be read through. `fingerprint` is the
    perceptual hash (64 bits) of the upright picture, `thumbnail_bits` how far the embedded thumbnail's is from it.
    `faults` are findings about the file itself.
    """

    digest: str = ""
    size_bytes: int = 0
    media_type: MediaType | None = None
    photo: PhotoFacts | None = None
    video: VideoFacts | None = None
    fingerprint: int | None = None
    thumbnail_bits: int | None = None
    faults: tuple[CheckFinding, ...] = ()

    @property
    def origin(self) -> Origin | None:
        """What the file says of its own making."""
        return self.photo or self.video
