"""Traces that a device, an editor or a screenshot leaves in a file."""

import re

from field_schemas.media_findings import CheckFinding
from media.checks.claims import Claims
from media.metadata.facts import Origin, PhotoFacts
from media.thresholds import Thresholds

# Programs that change what a picture shows, by their whole names: cameras are called Dallmeier, Firefly Q6 or Canvas.
# A phone's own software tag is its version number.
_EDITORS = (
    *("photoshop", "adobe lightroom", "lightroom", "adobe illustrator", "adobe firefly", "adobe express", "gimp"),
    *(
        "snapseed",
        "meitu",
        "meitupic",
        "beautycam",
        "b612",
        "faceu",
        "facetune",
        "picsart",
        "vsco",
        "remini",
        "canva",
    ),
    *("capcut", "pixelmator", "pixelmator pro", "affinity photo", "acdsee", "paint.net", "paintshop pro", "photopea"),
    *("luminar", "luminar ai", "luminar neo", "polarr", "capture one", "darktable", "rawtherapee", "imagemagick"),
    *("photodirector", "stable diffusion", "midjourney", "dall-e", "dall·e"),
)
_CHINESE_EDITORS = ("美图", "美颜", "剪映", "醒图", "轻颜")
_EDITOR = re.compile(
    rf"(?<![^\W_])(?:{'|'.join(map(re.escape, _EDITORS))})(?![^\W\d_])|{'|'.join(_CHINESE_EDITORS)}",
    re.IGNORECASE,
)
_REWRITER = re.compile(r"(?<![a-z])(?:lavf\d*|handbrake|ffmpeg)(?![a-z])", re.IGNORECASE)

# Widths of phone screens in portrait, pixels, and from which ratio on no camera's picture looks like one.
_SCREEN_WIDTHS = frozenset(
    {720, 750, 828, 1080, 1125, 1170, 1179, 1206, 1220, 1224, 1240, 1242, 1260, 1264, 1280, 1284, 1290, 1320, 1440}
)
_SCREEN_RATIO = 1.9


def check_device(origin: Origin, claims: Claims) -> CheckFinding:
    """The camera that a file names against the device that its user enrolled."""
    found = " ".join(filter(None, (origin.make, origin.model)))
    if claims.device is None:
        return CheckFinding("device_not_enrolled", found or None)
    if not origin.model:
        return CheckFinding("device_unnamed", found or None, claims.device)
    same = _plain(claims.device) in (_plain(origin.model), _plain(found))
    return CheckFinding("device_matches" if same else "device_differs", found, claims.device)


def check_editing(origin: Origin, thresholds: Thresholds) -> list[CheckFinding]:
    """Signs that a file is not as the camera wrote it."""
    findings = []
    tools = [origin.software, origin.editor if isinstance(origin, PhotoFacts) else None]
    editor = next((tool for tool in tools if tool and _EDITOR.search(tool)), None)
    if editor is not None:
        findings.append(CheckFinding("editor_named", editor))
    if origin.software and _REWRITER.search(origin.software):
        findings.append(CheckFinding("saved_later", origin.software))
    if isinstance(origin, PhotoFacts) and origin.has_exif:
        findings += _saved_later(origin, thresholds)
        if origin.model and not origin.exposure_tags:
            findings.append(CheckFinding("camera_tags_missing", origin.model))
    return findings


def check_screen(photo: PhotoFacts) -> list[CheckFinding]:
    """Whether a picture may be a screenshot. Never more than a hint."""
    said = photo.comment is not None and "screenshot" in photo.comment.lower()
    if said or (not photo.model and not photo.exposure_tags and _screen_sized(photo.width, photo.height)):
        return [CheckFinding("maybe_screenshot", f"{photo.width} x {photo.height} {photo.media_type}")]
    return []


def check_thumbnail(bits: int | None, thresholds: Thresholds) -> list[CheckFinding]:
    """The perceptual distance of an embedded thumbnail from its picture."""
    if bits is None or bits <= thresholds.photo_thumbnail_bits:
        return []
    return [CheckFinding("thumbnail_differs", measured=bits, threshold=thresholds.photo_thumbnail_bits, unit="bits")]


def _saved_later(photo: PhotoFacts, thresholds: Thresholds) -> list[CheckFinding]:
    if photo.saved_ms is None or photo.local_ms is None:
        return []
    gap_s = (photo.saved_ms - photo.local_ms) / 1000
    if gap_s <= thresholds.photo_save_gap_s:
        return []
    return [
        CheckFinding(
            "saved_later", claimed=photo.taken, measured=gap_s, threshold=thresholds.photo_save_gap_s, unit="s"
        )
    ]


def _screen_sized(width: int, height: int) -> bool:
    short, long = sorted((width, height))
    return short in _SCREEN_WIDTHS and long >= short * _SCREEN_RATIO


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
