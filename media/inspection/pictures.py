"""Decoding pictures in the child: only as large as needed, never larger than allowed."""

import warnings
from collections.abc import Callable
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from field_schemas.media_findings import CheckFinding
from media.inspection.facts import Limits
from media.metadata.facts import PhotoFacts
from media.perceptual import SIDE

try:
    from pi_heif import options, register_heif_opener
except ImportError:
    HEIC = False
else:
    options.DECODE_THREADS = 1
    register_heif_opener()
    HEIC = True

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/heic": "HEIF"}
_REDUCED = "image/jpeg"
_FINGERPRINT_PX = 8 * SIDE

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Undecodable(Exception):
    """A picture that is not decoded, with the finding that says why."""

    def __init__(self, finding: CheckFinding) -> None:
        super().__init__(finding.code)
        self.finding = finding


def allow_pixels(limits: Limits) -> None:
    """Set Pillow's own bound beside ours: it counts what the decoder sees, we count what the header says."""
    Image.MAX_IMAGE_PIXELS = limits.pixels
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def decoded(path: Path, photo: PhotoFacts, side_px: int, limits: Limits, mode: str = "RGB") -> Image.Image:
    """The picture at `path`, not upright yet, in `mode`; a JPEG reduced to at least `side_px` on its longer side.

    Raises Undecodable, MemoryError.
    """
    _allow(photo.width * photo.height, photo, limits)
    return carefully(lambda: _decode(path, photo, side_px, limits, mode))


def carefully(decode: Callable[[], Image.Image]) -> Image.Image:
    """The picture that `decode` gives. Raises Undecodable for whatever a decoder makes of a bad file."""
    try:
        return decode()
    except (Undecodable, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Undecodable(CheckFinding("picture_too_large", str(error)[:200])) from error
    except Exception as error:  # Decoders raise what they like when a file is bad.
        cut_off = "truncated" in str(error) or isinstance(error, EOFError)
        code = "file_truncated" if cut_off and not isinstance(error, UnidentifiedImageError) else "file_unreadable"
        raise Undecodable(CheckFinding(code, _told(error))) from error


def _told(error: Exception) -> str:
    """What a decoder says, without the path of the file: findings go out to phones."""
    name = type(error).__name__
    if isinstance(error, UnidentifiedImageError) or (isinstance(error, OSError) and error.filename is not None):
        return name
    return f"{name}: {error}"[:200]


def upright(picture: Image.Image, photo: PhotoFacts) -> Image.Image:
    """The picture as it was seen. HEIC is turned by its decoder: its EXIF orientation says nothing more."""
    turn = None if photo.media_type == "image/heic" else _TURNS.get(photo.orientation)
    return picture if turn is None else picture.transpose(turn)


def grey_levels(picture: Image.Image) -> list[int]:
    """SIDE * SIDE grey levels of a picture, as a fingerprint is made of."""
    small = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return list(small.tobytes())


def fingerprint_source(path: Path, photo: PhotoFacts, limits: Limits) -> Image.Image:
    """The picture in grey, large enough for a fingerprint."""
    return decoded(path, photo, _FINGERPRINT_PX, limits, "L")


def _decode(path: Path, photo: PhotoFacts, side_px: int, limits: Limits, mode: str) -> Image.Image:
    if photo.media_type == "image/heic" and not HEIC:
        raise Undecodable(CheckFinding("file_unreadable", "no HEIC decoder is installed: gridwalk[heic]"))
    with Image.open(path, formats=[FORMATS[photo.media_type or ""]]) as picture:
        _allow(picture.width * picture.height, photo, limits)
        picture.draft(mode, _within(picture.size, side_px))
        picture.load()
        # One of several is decoded anew, in its first size, whenever something is done to it.
        return _flat(picture.copy() if getattr(picture, "is_animated", False) else picture, mode)


def _allow(pixels: int, photo: PhotoFacts, limits: Limits) -> None:
    most = limits.pixels if photo.media_type == _REDUCED else limits.decoded_pixels
    for measured, threshold in ((pixels, most), (pixels * photo.scans, limits.scanned_pixels)):
        if measured > threshold:
            raise Undecodable(
                CheckFinding("picture_too_large", measured=measured, threshold=threshold, unit="pixels")
            )


def _within(size: tuple[int, int], side_px: int) -> tuple[int, int]:
    """`size` shrunk to `side_px` on the longer side."""
    scale = min(1.0, side_px / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _flat(picture: Image.Image, mode: str) -> Image.Image:
    """The picture in `mode`, what is transparent in it on white."""
    if picture.mode == mode:
        return picture
    if picture.mode.startswith("I"):
        # Converted as they are, levels of 16 bits would be cut off at 255.
        picture = picture.point(lambda level: level / 256).convert("L")
        picture.info.pop("transparency", None)
    if not picture.has_transparency_data:
        return picture.convert(mode)
    layered = picture.convert("RGBA")
    white = Image.new("RGBA", layered.size, "white")
    return Image.alpha_composite(white, layered).convert(mode)
