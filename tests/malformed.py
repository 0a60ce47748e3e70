"""Files that are not what they should be, each with the findings it must get. Made here, never kept."""

import io
import zipfile
import zlib
from datetime import UTC, datetime
from functools import partial

import msgspec
from PIL import Image

from tests.films import box, film
from tests.heic import heic
from tests.photos import Shot, encoded, exif_of, photo, scene


class Bad(msgspec.Struct, frozen=True):
    """One file: what is wrong with it, its bytes, and the codes it must get (none: it is harmless)."""

    name: str
    data: bytes
    codes: frozenset[str]


def bad_files() -> list[Bad]:
    """The whole corpus."""
    return [*_cut(), *_lying(), *_two_in_one(), *_harmless(), *_metadata(), *_boxes()]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG with a right checksum."""
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png_of_zeros(width: int, height: int) -> bytes:
    """A grey PNG of one byte a pixel whose pixels take next to no room: a bomb where it is large."""
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    packer = zlib.compressobj(9)
    row = bytes(width + 1)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header lies about its size."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + jpeg[at + 4 :]


def with_scans(times: int, between: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan comes `times` times more, each of a few bytes and over all pixels."""
    file = io.BytesIO()
    Image.new("L", (640, 480)).save(file, "JPEG", progressive=True)
    jpeg = file.getvalue()
    return jpeg[:-2] + between + jpeg[jpeg.rindex(b"\xff\xda") : -2] * times + jpeg[-2:]


def archive() -> bytes:
    """A ZIP with a program in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("run.sh", "echo hello")
    return file.getvalue()


def _bad(name: str, data: bytes, *codes: str) -> Bad:
    return Bad(name, data, frozenset(codes))


def _remarked(jpeg: bytes, remark: bytes) -> bytes:
    """A JPEG with a remark right behind its first mark."""
    return jpeg[:2] + b"\xff\xfe" + (2 + len(remark)).to_bytes(2, "big") + remark + jpeg[2:]


def _announcing(jpeg: bytes) -> bytes:
    """A JPEG that says that another one follows (CIPA DC-007)."""
    said = b"MPF\0II*\0\x08\0\0\0" + bytes(6)
    return jpeg[:2] + b"\xff\xe2" + (2 + len(said)).to_bytes(2, "big") + said + jpeg[2:]


def _cut() -> list[Bad]:
    jpeg, png, webp = photo(Shot()), photo(Shot(), "PNG"), photo(Shot(), "WEBP")
    return [
        _bad("nothing", b"", "kind_unknown"),
        _bad("one byte", b"\xff", "kind_unknown"),
        _bad("the start of a JPEG", jpeg[:4], "file_unreadable"),
        _bad("half a JPEG", jpeg[: len(jpeg) // 2], "file_truncated"),
        _bad("half a PNG", png[: len(png) // 2], "file_truncated"),
        _bad("half a WebP", webp[: len(webp) // 2], "file_unreadable"),
        _bad("half a film", film(datetime(2026, 1, 1, tzinfo=UTC))[:-30], "file_truncated"),
        _bad("a JPEG without its end mark", jpeg[:-2], "file_truncated"),
    ]


def _lying() -> list[Bad]:
    jpeg = photo(Shot())
    damaged = bytearray(photo(Shot(exif=False), "PNG"))
    damaged[-100] ^= 0xFF
    return [
        _bad("text", b"GIF89a is what it says", "kind_unknown"),
        _bad("a page", b"<html><script>alert(1)</script></html>", "kind_unknown"),
        _bad("a JPEG that claims 4 gigapixels", with_size(jpeg, 65_500, 65_500), "picture_too_large"),
        _bad("a JPEG of 8,000 scans", with_scans(8_000), "picture_too_large"),
        _bad(
            "a JPEG of scans behind a mark without a length",
            with_scans(8_000, b"\xff\x01\xff\xff"),
            "picture_too_large",
        ),
        _bad("a JPEG of no size", with_size(jpeg, 0, 0), "file_unreadable"),
        _bad("a PNG of 400 megapixels in 400 kB", png_of_zeros(20_000, 20_000), "picture_too_large"),
        _bad("a PNG with a wrong checksum", bytes(damaged), "file_unreadable"),
        _bad("a WebP shorter than it says", b"RIFF\xff\xff\xff\x7fWEBPVP8 " + bytes(40), "file_unreadable"),
    ]


def _two_in_one() -> list[Bad]:
    jpeg, png = photo(Shot()), photo(Shot(), "PNG")
    remarked = partial(_remarked, jpeg)
    return [
        _bad("a JPEG and an archive", jpeg + archive(), "foreign_file_inside"),
        _bad("a PNG and an archive", png + archive(), "foreign_file_inside"),
        _bad("a JPEG and a page", jpeg + b"<!DOCTYPE html><html></html>", "foreign_file_inside", "data_appended"),
        _bad(
            "a JPEG with a script in its remark", remarked(b"<script>fetch('//evil')</script>"), "foreign_file_inside"
        ),
        _bad(
            "a JPEG with a drawing that runs", remarked(b"<SVG onload=alert(1)>*/=alert(1);/*"), "foreign_file_inside"
        ),
        _bad("a JPEG with an archive in its remark", remarked(archive()), "foreign_file_inside"),
        _bad("a JPEG that is a document too", remarked(b"%PDF-1.4 1 0 obj<</Type/Catalog>>"), "foreign_file_inside"),
        _bad("a JPEG and another picture", jpeg + photo(Shot(seed=2)), "data_appended"),
        _bad("a JPEG and 1 kB of anything", jpeg + b"\x17" * 1_000, "data_appended"),
        _bad(
            "a JPEG and anything that ends like Samsung's trailer", jpeg + b"\x17" * 5_000 + b"SEFT", "data_appended"
        ),
        _bad("a JPEG, anything, and Samsung's trailer", jpeg + b"\x17" * 5_000 + _samsung(bytes(9)), "data_appended"),
        _bad("a JPEG and anything that begins like a film", jpeg + film()[:40] + b"\x17" * 5_000, "data_appended"),
        _bad("a JPEG, its film, and anything", jpeg + film() + b"\x17" * 5_000, "data_appended"),
        _bad("a film and an archive", film() + archive(), "foreign_file_inside"),
        _bad("a film with an archive in free space", film() + box(b"free", archive()), "foreign_file_inside"),
        _bad(
            "a film with a page in free space",
            film() + box(b"free", b"<html><script>1</script>"),
            "foreign_file_inside",
        ),
    ]


def _samsung(block: bytes) -> bytes:
    """Samsung's trailer with one block: the directory holds its type, and how far before it the block begins."""
    entry = bytes(2) + block[2:4] + len(block).to_bytes(4, "little") * 2
    directory = b"SEFH" + (106).to_bytes(4, "little") + (1).to_bytes(4, "little") + entry
    return block + directory + len(directory).to_bytes(4, "little") + b"SEFT"


def _harmless() -> list[Bad]:
    jpeg = photo(Shot())
    return [
        # The decoder fills the rest with grey and says nothing.
        _bad("a JPEG taller than its data", with_size(jpeg, 640, 9_000)),
        _bad("a JPEG of 100 scans", with_scans(100)),
        _bad("a photo with its film behind it", jpeg + film()),
        _bad("a photo with a second one behind it, announced", _announcing(jpeg) + photo(Shot(seed=2))),
        _bad("a photo with padding behind it", jpeg + bytes(4_096)),
        _bad(
            "a photo with its film behind it, and a maker's words", jpeg + film() + b"v2_f35   0:300   LIVE_1234567"
        ),
        _bad("a photo with Samsung's trailer", jpeg + _samsung(b"\0\0\x01\x0a\x0e\0\0\0Image_UTC_Data1700000000000")),
    ]


def _metadata() -> list[Bad]:
    head = b"Exif\0\0II*\0\x08\0\0\0"
    loop = head + (1).to_bytes(2, "little") + b"\x69\x87\x04\0\x01\0\0\0\x08\0\0\0" + b"\x08\0\0\0"
    endless = head + (1).to_bytes(2, "little") + b"\x0f\x01\x05\0\xff\xff\xff\xff\x08\0\0\0" + bytes(4)
    crowded = head + (65_535).to_bytes(2, "little") + bytes(300)
    profile = b"profile\0\0" + zlib.compress(bytes(60_000_000), 9)
    png = encoded(scene(1), "PNG")
    return [
        _bad("EXIF that contains itself", encoded(scene(1), exif=loop)),
        _bad("EXIF with a value of 32 GB", encoded(scene(1), exif=endless)),
        _bad("EXIF with 65,535 entries", encoded(scene(1), exif=crowded)),
        _bad("EXIF cut off", encoded(scene(1), exif=exif_of(Shot())[:120])),
        _bad("a colour profile of 60 MB", png[:33] + png_chunk(b"iCCP", profile) + png[33:], "file_unreadable"),
    ]


def _boxes() -> list[Bad]:
    start = box(b"ftyp", b"heic", bytes(4), b"mif1")
    endless = (1).to_bytes(4, "big") + b"free" + bytes(8)
    nested = box(b"moov")
    for _ in range(2_000):
        nested = box(b"moov", nested)
    size = (64).to_bytes(4, "big")
    claim = heic(scene(1, (64, 64))).replace(size + size, (65_500).to_bytes(4, "big") * 2)
    many = box(b"keys", bytes(4), b"\xff\xff\xff\xff", bytes(64))
    return [
        _bad("a HEIC of nothing", start, "file_unreadable"),
        _bad("a HEIC that never ends", start + box(b"meta", bytes(4), endless), "file_unreadable"),
        _bad("half a HEIC", heic(scene(1, (64, 64)))[:2_000], "file_unreadable"),
        _bad("a HEIC that claims 4 gigapixels", claim, "picture_too_large"),
        _bad("a HEIC of noise", start + box(b"meta", bytes(range(256)) * 40), "file_unreadable"),
        _bad("a film of boxes in boxes", box(b"ftyp", b"isom", bytes(4)) + nested, "file_truncated"),
        _bad(
            "a film of 4 billion keys",
            box(b"ftyp", b"isom", bytes(4)) + box(b"moov", box(b"meta", many)),
            "file_truncated",
        ),
    ]
