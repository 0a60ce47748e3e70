"""Making derivatives in the child: upright, small, without metadata, with regions hidden."""

import io
from math import ceil, floor
from pathlib import Path

from PIL import Image, ImageCms, ImageStat

from field_schemas.media_findings import CheckFinding
from media.content import HEAD_BYTES, kind_of
from media.derivatives import Derivative, Region
from media.inspection.facts import Limits
from media.inspection.pictures import FORMATS, Undecodable, carefully, decoded, upright
from media.metadata.containers import is_picture, read_container
from media.metadata.reading import photo_facts
from media.metadata.source import opened

_MARGIN, _MARGIN_PX = 0.02, 2
"""Hidden regions grow by this share and so many pixels on each side: scaling mixes neighbouring pixels."""
_BLOCKS_PX = {"image/jpeg": 32, "image/webp": 32, "image/heic": 72}
"""And by the largest blocks, in pixels of the original, in which its encoder has mixed them, and what smoothing of
their edges reaches: what lay inside shows in the whole block."""
Box = tuple[int, int, int, int]
_NO_OUTSIDE = (128, 128, 128)
_PATTERN_PX, _PATTERN_LEVELS = 12, 8


def make(path: Path, wish: Derivative, limits: Limits) -> bytes:
    """The picture file that `wish` asks for. Raises Undecodable, OSError, MemoryError."""
    with opened(path) as data:
        media_type = kind_of(data[:HEAD_BYTES])
        if media_type is None or not is_picture(media_type):
            raise Undecodable(CheckFinding("kind_unknown", media_type))
        photo = photo_facts(media_type, len(data), read_container(data, media_type))
    picture = decoded(path, photo, wish.side_px, limits)
    reduced = max(picture.size) / max(photo.width, photo.height, 1)
    margin_px = ceil(_BLOCKS_PX.get(media_type, 0) * reduced) + _MARGIN_PX
    return carefully_saved(upright(picture, photo), wish, margin_px)


def carefully_saved(picture: Image.Image, wish: Derivative, margin_px: int) -> bytes:
    """The bytes of `picture` as `wish` wants it, with `margin_px` around what is hidden."""
    made = carefully(lambda: _bare(_in_srgb(picture), wish, margin_px))
    file = io.BytesIO()
    made.save(file, FORMATS[wish.media_type], quality=wish.quality)
    return file.getvalue()


def _bare(picture: Image.Image, wish: Derivative, margin_px: int) -> Image.Image:
    """Pixels and nothing else: what a decoder noted beside them stays behind."""
    boxes = [_box(picture.size, region, margin_px) for region in wish.hidden]
    for box in boxes:
        # All of them first: one may lie where another takes its colours from.
        picture.paste(_NO_OUTSIDE, box)
    for box in boxes:
        _hide(picture, box)
    picture.thumbnail((wish.side_px, wish.side_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    bare = Image.new("RGB", picture.size)
    bare.paste(picture)
    return bare


def _in_srgb(picture: Image.Image) -> Image.Image:
    """The picture in the colours every screen takes for granted, so that its profile can go."""
    profile = picture.info.get("icc_profile")
    if not isinstance(profile, bytes):
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        changed = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture
    return changed or picture


def _hide(picture: Image.Image, box: Box) -> None:
    """Paint over a box with a blend of the colours around it and a pattern that shows that something is hidden.

    Nothing is taken from inside: mosaics and blurs of small regions can be undone by trying out what they could
    have shown (McPherson 2016), this cannot.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    if width <= 0 or height <= 0:
        return
    corners = Image.new("RGB", (2, 2))
    for x in (0, 1):
        for y in (0, 1):
            corners.putpixel((x, y), _colour_beside(picture, box, x, y))
    patch = corners.resize((width, height), Image.Resampling.BICUBIC)
    picture.paste(_patterned(patch), box)


def _box(size: tuple[int, int], region: Region, margin_px: int) -> Box:
    width, height = size
    margin_x, margin_y = _MARGIN * region.width, _MARGIN * region.height
    return (
        max(0, floor((region.left - margin_x) * width) - margin_px),
        max(0, floor((region.top - margin_y) * height) - margin_px),
        min(width, ceil((region.left + region.width + margin_x) * width) + margin_px),
        min(height, ceil((region.top + region.height + margin_y) * height) + margin_px),
    )


def _colour_beside(picture: Image.Image, box: Box, x: int, y: int) -> tuple[int, int, int]:
    """The mean colour just left (x 0) or right (x 1) of the box, in its upper (y 0) or lower (y 1) half."""
    left, top, right, bottom = box
    strip = max(1, (right - left) // 8)
    middle = (top + bottom + 1) // 2
    rows = (top, middle) if y == 0 else (middle, bottom)
    near = (left - strip, rows[0], left, rows[1]) if x == 0 else (right, rows[0], right + strip, rows[1])
    near = (max(0, near[0]), near[1], min(picture.width, near[2]), near[3])
    if near[2] <= near[0] or near[3] <= near[1]:
        return _NO_OUTSIDE
    red, green, blue = ImageStat.Stat(picture.crop(near)).mean
    return round(red), round(green), round(blue)


def _patterned(patch: Image.Image) -> Image.Image:
    step = _PATTERN_PX
    tile = Image.new("L", (2 * step, 2 * step), 0)
    tile.paste(255, (0, 0, step, step))
    tile.paste(255, (step, step, 2 * step, 2 * step))
    mask = Image.new("L", patch.size)
    for left in range(0, patch.width, 2 * step):
        for top in range(0, patch.height, 2 * step):
            mask.paste(tile, (left, top))
    lighter = patch.point(lambda level: min(255, level + _PATTERN_LEVELS))
    return Image.composite(lighter, patch, mask)
