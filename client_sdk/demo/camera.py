"""The phone's camera: photos and films as a phone writes them, with the time and place they were made."""

import io
import random
from datetime import UTC, datetime
from pathlib import Path

from PIL import ExifTags, Image, ImageDraw, ImageFilter
from PIL.TiffImagePlugin import IFDRational

from field_schemas.places import Position

MAKE, MODEL = "HUAWEI", "P60"
_MAC_EPOCH_S = 2_082_844_800
_SIDES = (1600, 1200)


def photo(file: Path, seed: int, place: Position | None, *, exif: bool = True) -> Path:
    """A photo made now, at `place` (None: the phone had no fix), of a scene that `seed` draws."""
    with io.BytesIO() as written:
        _scene(seed).save(written, "JPEG", quality=88, exif=_exif(place) if exif else b"")
        file.write_bytes(written.getvalue())
    return file


def film(file: Path, seed: int, place: Position, size: int) -> Path:
    """A film of `size` bytes that ends now, at `place`; its pictures are noise."""
    lon, lat = place.wgs84()
    made = (int(datetime.now(UTC).timestamp()) + _MAC_EPOCH_S).to_bytes(4, "big")
    times = bytes(4) + made + made + (1_000).to_bytes(4, "big") + (40_000).to_bytes(4, "big")
    said = {b"\xa9xyz": f"{lat:+09.5f}{lon:+010.5f}/", b"\xa9mak": MAKE, b"\xa9mod": MODEL}
    words = _box(b"udta", b"".join(_said(kind, text.encode()) for kind, text in said.items()))
    head = _box(b"ftyp", b"isom" + bytes(4) + b"mp42") + _box(b"moov", _box(b"mvhd", times + bytes(80)) + words)
    file.write_bytes(head + _box(b"mdat", random.Random(seed).randbytes(size - len(head) - 8)))  # noqa: S311
    return file


def _scene(seed: int) -> Image.Image:
    chance = random.Random(seed)  # noqa: S311 a scene that can be drawn again
    sketch = Image.new("RGB", (96, 72))
    draw = ImageDraw.Draw(sketch)
    for number in range(60):
        left, top = chance.randrange(-20, 96), chance.randrange(-20, 72)
        box = (left, top, left + chance.randrange(6, 50), top + chance.randrange(6, 40))
        colour = (chance.randrange(256), chance.randrange(256), chance.randrange(256))
        (draw.ellipse if number % 2 else draw.rectangle)(box, fill=colour)
    return sketch.resize(_SIDES, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1))


def _exif(place: Position | None) -> Image.Exif:
    now = datetime.now().astimezone()
    offset = f"{now:%z}"
    written = Image.Exif()
    written.update({0x010F: MAKE, 0x0110: MODEL, 0x0132: f"{now:%Y:%m:%d %H:%M:%S}"})
    written.get_ifd(ExifTags.IFD.Exif).update(
        {
            0x9003: f"{now:%Y:%m:%d %H:%M:%S}",
            0x9011: f"{offset[:3]}:{offset[3:]}",
            0x829A: IFDRational(1, 120),
            0x829D: IFDRational(18, 10),
            0x8827: 64,
        }
    )
    if place is not None:
        lon, lat = place.wgs84()
        north, east = "N" if lat >= 0 else "S", "E" if lon >= 0 else "W"
        fix = {1: north, 2: _degrees(lat), 3: east, 4: _degrees(lon), 18: "WGS-84"}
        written.get_ifd(ExifTags.IFD.GPSInfo).update(fix)
    return written


def _degrees(value: float) -> tuple[IFDRational, IFDRational, IFDRational]:
    whole, minutes = int(abs(value)), int(abs(value) * 60) % 60
    seconds = abs(value) * 3600 - whole * 3600 - minutes * 60
    return IFDRational(whole, 1), IFDRational(minutes, 1), IFDRational(round(seconds * 10_000), 10_000)


def _said(kind: bytes, text: bytes) -> bytes:
    return _box(kind, len(text).to_bytes(2, "big") + b"\x15\xc7" + text)


def _box(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body
