"""Derivatives: upright, of the size asked for, without metadata, with nothing left of what is hidden."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image, ImageCms, ImageDraw

from media import exif
from media.derivatives import SCREEN, THUMBNAIL, Derivative, DerivativeError, Region
from media.inspection.inspector import Inspector
from tests.heic import heic
from tests.photos import Shot, encoded, exif_of, photo, scene
from tests.tiled_heic import tiled_heic

FACE = Region(0.4, 0.3, 0.2, 0.25)


@pytest.fixture
async def inspector() -> AsyncIterator[Inspector]:
    """An inspector with the usual limits."""
    async with Inspector() as made:
        yield made


async def made(inspector: Inspector, folder: Path, data: bytes, wish: Derivative) -> Image.Image:
    """What is made of the bytes."""
    path = folder / "blob"
    path.write_bytes(data)
    picture = Image.open(io.BytesIO(await inspector.derive(path, wish)))
    assert path.read_bytes() == data
    return picture


def marked_corner(size: tuple[int, int]) -> Image.Image:
    """A white picture whose top left quarter is red."""
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).rectangle((0, 0, size[0] // 2, size[1] // 2), fill="red")
    return picture


@pytest.mark.parametrize("wish", [THUMBNAIL, SCREEN, Derivative(side_px=500, media_type="image/webp")])
async def test_size_and_kind(inspector: Inspector, tmp_path: Path, wish: Derivative) -> None:
    """The longer side is as asked for, the shape stays, and so does the kind."""
    picture = await made(inspector, tmp_path, photo(Shot(size=(2400, 1800))), wish)
    assert picture.size == (wish.side_px, wish.side_px * 3 // 4)
    assert picture.format == {"image/jpeg": "JPEG", "image/webp": "WEBP"}[wish.media_type]


async def test_small_pictures_stay_small(inspector: Inspector, tmp_path: Path) -> None:
    """Nothing is blown up."""
    assert (await made(inspector, tmp_path, photo(Shot(size=(200, 100))), SCREEN)).size == (200, 100)


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (1, 1)), (6, (1, 0)), (8, (0, 1))])
async def test_upright(inspector: Inspector, tmp_path: Path, orientation: int, corner: tuple[int, int]) -> None:
    """A picture taken with the phone turned stands upright: the red quarter is where it was seen."""
    data = encoded(marked_corner((400, 200)), exif=exif_of(Shot(orientation=orientation)))
    picture = (await made(inspector, tmp_path, data, Derivative(side_px=200))).convert("RGB")
    width, height = picture.size
    assert (width, height) == ((200, 100) if orientation in (1, 3) else (100, 200))
    red, green, _ = picture.getpixel((width // 4 + corner[0] * width // 2, height // 4 + corner[1] * height // 2))  # type: ignore[misc]
    assert (red > 200, green < 60) == (True, True)


async def test_from_heic(inspector: Inspector, tmp_path: Path) -> None:
    """A HEIC becomes a JPEG that any browser shows, without what the HEIC said of its making."""
    raw = heic(marked_corner((256, 128)), exif_of(Shot()))
    picture = (await made(inspector, tmp_path, raw, Derivative(side_px=128))).convert("L")
    assert picture.size == (128, 64)
    assert picture.getpixel((20, 10)) < 100  # type: ignore[operator]
    assert picture.getpixel((100, 50)) > 240  # type: ignore[operator]
    assert not exif.read(await inspector.derive(tmp_path / "blob", THUMBNAIL)).has_exif


@pytest.mark.parametrize("hidden", [True, False])
async def test_from_heic_of_tiles(inspector: Inspector, tmp_path: Path, hidden: bool) -> None:
    """A HEIC of many tiles, as phones write it, becomes one picture, also where it holds several beside the first."""
    raw = tiled_heic((600, 400), exif_of(Shot()), hidden=hidden)
    assert (await made(inspector, tmp_path, raw, Derivative(side_px=300))).size == (300, 200)


async def test_no_metadata(inspector: Inspector, tmp_path: Path) -> None:
    """No EXIF, XMP, comment, thumbnail or colour profile goes out to the public."""
    file = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    scene(1).save(
        file,
        "JPEG",
        exif=exif_of(Shot(thumbnail_seed=1)),
        xmp=b"<x:xmpmeta>Li Na</x:xmpmeta>",
        comment=b"Li Na",
        icc_profile=profile,
    )
    for media_type in ("image/jpeg", "image/webp"):
        wish = Derivative(side_px=400, media_type=media_type)
        picture = await made(inspector, tmp_path, file.getvalue(), wish)
        assert not {"exif", "xmp", "comment", "icc_profile", "photoshop"} & set(picture.info)
        raw = await inspector.derive(tmp_path / "blob", wish)
        assert not exif.read(raw).has_exif
        assert [word for word in (b"Li Na", b"Exif", b"ICC", b"Huawei", b"xmp") if word in raw] == []


async def test_nothing_of_what_is_hidden_is_left(inspector: Inspector, tmp_path: Path) -> None:
    """Two pictures that differ only in the hidden region give the same bytes: there is nothing to recover."""
    wish = Derivative(side_px=480, hidden=(FACE,))
    results = []
    for colour in ("black", "yellow"):
        picture = scene(3).copy()
        ImageDraw.Draw(picture).rectangle((256, 144, 383, 263), fill=colour)
        path = tmp_path / colour
        path.write_bytes(encoded(picture, "PNG"))
        results.append(await inspector.derive(path, wish))
    assert results[0] == results[1]


@pytest.mark.parametrize("turned", [1, 6])
@pytest.mark.parametrize(("quality", "subsampling"), [(60, 2), (88, 1), (95, 0)])
@pytest.mark.parametrize("side_px", [640, 300])
async def test_nothing_is_left_in_the_blocks_of_a_jpeg(
    inspector: Inspector, tmp_path: Path, turned: int, quality: int, subsampling: int, side_px: int
) -> None:
    """A JPEG mixes what is hidden with its neighbours in a block: whole blocks are hidden, also of a turned one."""
    left, top, right, bottom = inside = (259, 149, 380, 251)
    region = Region(left / 630, top / 470, (right - left) / 630, (bottom - top) / 470)
    if turned == 6:
        region = Region(1 - bottom / 470, left / 630, (bottom - top) / 470, (right - left) / 630)
    tags = Image.Exif()
    tags[0x0112] = turned
    results = []
    for colour in ("black", "white"):
        picture = scene(3).crop((0, 0, 630, 470))
        picture.paste(colour, inside)
        path = tmp_path / colour
        picture.save(path, "JPEG", quality=quality, subsampling=subsampling, exif=tags)
        results.append(await inspector.derive(path, Derivative(side_px=side_px, hidden=(region,))))
    assert results[0] == results[1]


async def test_hidden_regions_take_nothing_from_each_other(inspector: Inspector, tmp_path: Path) -> None:
    """Where one hidden region lies beside another, its colours are not those of what the other hides."""
    wish = Derivative(side_px=640, hidden=(Region(0.2, 0.3, 0.2, 0.25), FACE))
    results = []
    for colour in ("black", "yellow"):
        picture = scene(3).copy()
        ImageDraw.Draw(picture).rectangle((256, 144, 383, 263), fill=colour)
        path = tmp_path / colour
        path.write_bytes(encoded(picture, "PNG"))
        results.append(await inspector.derive(path, wish))
    assert results[0] == results[1]


async def test_what_is_hidden_is_seen_to_be(inspector: Inspector, tmp_path: Path) -> None:
    """Around the region the picture is as it was."""
    data = encoded(scene(3), "PNG")
    plain = await made(inspector, tmp_path, data, Derivative(side_px=640))
    hidden = await made(inspector, tmp_path, data, Derivative(side_px=640, hidden=(FACE,)))
    left = (0, 0, 230, 480)
    assert plain.crop(left).tobytes() == hidden.crop(left).tobytes()
    inside = (260, 150, 380, 260)
    assert plain.crop(inside).tobytes() != hidden.crop(inside).tobytes()


async def test_all_of_it_hidden(inspector: Inspector, tmp_path: Path) -> None:
    """Where nothing lies outside the region, grey is painted."""
    picture = await made(
        inspector, tmp_path, photo(Shot()), Derivative(side_px=64, hidden=(Region(0.0, 0.0, 1.0, 1.0),))
    )
    assert all(110 < level < 150 for level in picture.convert("L").tobytes())


async def test_transparent_png(inspector: Inspector, tmp_path: Path) -> None:
    """What is transparent becomes white."""
    picture = await made(
        inspector, tmp_path, encoded(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "PNG"), Derivative(side_px=32)
    )
    assert picture.convert("L").getextrema() == (255, 255)


@pytest.mark.parametrize("transparent", [None, 5])
async def test_png_of_16_bits(inspector: Inspector, tmp_path: Path, transparent: int | None) -> None:
    """Grey of 65,536 levels keeps its brightness, also where one of the levels is transparent."""
    file = io.BytesIO()
    more = {} if transparent is None else {"transparency": transparent}
    Image.new("I;16", (64, 64), 32_768).save(file, "PNG", **more)
    picture = await made(inspector, tmp_path, file.getvalue(), Derivative(side_px=32))
    assert picture.convert("L").getextrema() == (128, 128)


async def test_what_cannot_be_made(inspector: Inspector, tmp_path: Path) -> None:
    """Of a damaged file nothing is made; the code says why."""
    path = tmp_path / "blob"
    path.write_bytes(photo(Shot())[:5_000])
    with pytest.raises(DerivativeError) as refused:
        await inspector.derive(path, THUMBNAIL)
    assert refused.value.code == "file_truncated"


def test_names() -> None:
    """Equal wishes share a name, others do not."""
    assert len({wish.name for wish in (THUMBNAIL, SCREEN, Derivative(side_px=320, quality=75))}) == 2
