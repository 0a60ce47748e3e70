"""Photos made to measure: scenes that differ by their seed, and what a phone's camera would write beside them.

photo(Shot(seed=3, taken="2026-11-20T09:30:00", position=(22.541, 114.059)))   # the bytes of a JPEG
"""

import functools
import io
import random
from datetime import UTC, datetime
from typing import Literal

import msgspec
from PIL import ExifTags, Image, ImageDraw, ImageFilter
from PIL.TiffImagePlugin import IFDRational

Format = Literal["JPEG", "PNG", "WEBP"]
NOTHING = IFDRational(0, 0)
"""What a camera writes for a number it does not know."""


class Shot(msgspec.Struct, frozen=True, kw_only=True):
    """One photo: what is seen (`seed`, `size` in pixels as stored), and what its EXIF says.

    `taken` and `saved` are local times in ISO 8601, `offset` their zone as in "+08:00"; `gps_time` is UTC.
    `position` is (latitude, longitude) in degrees of `datum`. None leaves a tag out; `exif=False` all of them.
    """

    seed: int = 1
    size: tuple[int, int] = (640, 480)
    exif: bool = True
    make: str | None = "Huawei"
    model: str | None = "P60"
    software: str | None = "HarmonyOS 4.2"
    taken: str | None = "2026-11-20T09:30:00"
    saved: str | None = "2026-11-20T09:30:01"
    offset: str | None = "+08:00"
    gps_time: datetime | None = None
    position: tuple[float, float] | None = (22.541, 114.059)
    datum: str | None = "WGS-84"
    accuracy_m: float | None = 5.0
    exposure: bool = True
    orientation: int = 1
    thumbnail_seed: int | None = None
    """The scene of the embedded thumbnail; None: none is embedded."""


@functools.lru_cache(maxsize=64)
def scene(seed: int, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """A picture of shapes and light, always the same for one seed, unlike that of any other."""
    chance = random.Random(seed)
    sketch = Image.new("RGB", (96, 72))
    draw = ImageDraw.Draw(sketch)
    for _ in range(60):
        left, top = chance.randrange(-20, 96), chance.randrange(-20, 72)
        box = (left, top, left + chance.randrange(6, 50), top + chance.randrange(6, 40))
        colour = (chance.randrange(256), chance.randrange(256), chance.randrange(256))
        (draw.ellipse if chance.random() < 0.5 else draw.rectangle)(box, fill=colour)
    return sketch.resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1))


def photo(shot: Shot, file_format: Format = "JPEG") -> bytes:
    """The bytes of the photo file."""
    return encoded(scene(shot.seed, shot.size), file_format, exif_of(shot))


def encoded(picture: Image.Image, file_format: Format = "JPEG", exif: bytes = b"", quality: int = 88) -> bytes:
    """The bytes of a picture file with this EXIF (as Pillow takes it; b"": none)."""
    file = io.BytesIO()
    picture.save(file, file_format, exif=exif, quality=quality)
    return file.getvalue()


def exif_of(shot: Shot, gps: dict[int, object] | None = None) -> bytes:
    """The EXIF of a photo; `gps` replaces tags of its GPS directory by number, None leaves one out."""
    if not shot.exif:
        return b""
    exif = Image.Exif()
    _put(exif, {271: shot.make, 272: shot.model, 274: shot.orientation, 305: shot.software, 306: _local(shot.saved)})
    camera = exif.get_ifd(ExifTags.IFD.Exif)
    _put(camera, {0x9003: _local(shot.taken), 0x9004: _local(shot.taken), 0x9011: shot.offset, 0x9012: shot.offset})
    if shot.exposure:
        _put(camera, {0x829A: IFDRational(1, 120), 0x829D: IFDRational(18, 10), 0x8827: 64, 0x920A: IFDRational(24)})
    _put(exif.get_ifd(ExifTags.IFD.GPSInfo), {**_gps(shot), **(gps or {})})
    raw = exif.tobytes()
    return raw if shot.thumbnail_seed is None else with_thumbnail(raw, _barred(scene(shot.thumbnail_seed, shot.size)))


def with_thumbnail(exif: bytes, picture: Image.Image) -> bytes:
    """EXIF with a second directory that holds an embedded thumbnail, which Pillow does not write."""
    tiff = bytearray(exif.removeprefix(b"Exif\0\0"))
    order: Literal["little", "big"] = "little" if tiff[:2] == b"II" else "big"
    first = int.from_bytes(tiff[4:8], order)
    following = first + 2 + 12 * int.from_bytes(tiff[first : first + 2], order)
    small = encoded(picture, quality=70)
    at = len(tiff)
    tiff[following : following + 4] = at.to_bytes(4, order)
    start = at + 2 + 2 * 12 + 4
    entries = ((0x0201, start), (0x0202, len(small)))
    directory = b"".join(
        tag.to_bytes(2, order) + (4).to_bytes(2, order) + (1).to_bytes(4, order) + value.to_bytes(4, order)
        for tag, value in entries
    )
    return b"Exif\0\0" + bytes(tiff) + (2).to_bytes(2, order) + directory + bytes(4) + small


def _barred(picture: Image.Image) -> Image.Image:
    """A thumbnail as cameras make it: 160 by 120, filled up with black bars."""
    small = Image.new("RGB", (160, 120))
    picture = picture.copy()
    picture.thumbnail(small.size)
    small.paste(picture, ((160 - picture.width) // 2, (120 - picture.height) // 2))
    return small


def degrees(value: float) -> tuple[IFDRational, ...]:
    """Degrees, minutes and seconds as a camera writes them: without sign, seconds to 1/10,000."""
    value = abs(value)
    whole, minutes = int(value), int(value * 60) % 60
    seconds = value * 3600 - whole * 3600 - minutes * 60
    return IFDRational(whole, 1), IFDRational(minutes, 1), IFDRational(round(seconds * 10_000), 10_000)


def _gps(shot: Shot) -> dict[int, object]:
    tags: dict[int, object] = {}
    if shot.gps_time is not None:
        moment = shot.gps_time.astimezone(UTC)
        clock = (IFDRational(moment.hour), IFDRational(moment.minute), IFDRational(moment.second))
        tags |= {29: moment.strftime("%Y:%m:%d"), 7: clock}
    if shot.position is not None:
        lat, lon = shot.position
        tags |= {1: "N" if lat >= 0 else "S", 2: degrees(lat), 3: "E" if lon >= 0 else "W", 4: degrees(lon)}
        tags[18] = shot.datum
        tags[31] = None if shot.accuracy_m is None else IFDRational(round(shot.accuracy_m * 10), 10)
    return tags


def _put(directory: object, tags: dict[int, object]) -> None:
    for tag, value in tags.items():
        if value is not None:
            directory[tag] = value  # type: ignore[index]


def _local(time: str | None) -> str | None:
    return None if time is None else datetime.fromisoformat(time).strftime("%Y:%m:%d %H:%M:%S")
