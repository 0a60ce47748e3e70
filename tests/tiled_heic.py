"""A large HEIC as phones write them: a grid of equal tiles. Follows ISO/IEC 23008-12, 6.6.2.3 and Annex B.

No HEVC encoder is under a licence that would do here, so one tile of a grainy generated picture lies beside this file
as x265 wrote it (by pillow-heif 1.8.1, quality 50). It is decoded anew for each place of the grid.
"""

from pathlib import Path

from tests.films import box

_TILE = Path(__file__).with_name("tile.heic")
_SIDE = 256


def tiled_heic(size: tuple[int, int], exif: bytes, *, hidden: bool = True) -> bytes:
    """The bytes of a picture of `size` (width, height), with EXIF as Pillow takes it.

    Tiles that are not `hidden` are pictures of their own beside the whole.
    """
    tile = _TILE.read_bytes()
    configuration, coded = _box_in(tile, b"hvcC"), _box_in(tile, b"mdat")[8:]
    columns, rows = (-(-side // _SIDE) for side in size)
    grid = bytes([0, 0, rows - 1, columns - 1]) + _u16(*size)
    contents = [grid, bytes(4) + exif.removeprefix(b"Exif\0\0"), coded]
    head = box(b"ftyp", b"heic", bytes(4), b"mif1", b"heic")
    items = [b"grid", b"Exif", *[b"hvc1"] * (columns * rows)]
    start = len(head) + len(_meta(size, items, configuration, 0, contents, hidden)) + 8
    return head + _meta(size, items, configuration, start, contents, hidden) + box(b"mdat", *contents)


def _meta(
    size: tuple[int, int], kinds: list[bytes], configuration: bytes, start: int, contents: list[bytes], hidden: bool
) -> bytes:
    """Item 1 is the grid, 2 the EXIF, and from 3 on the tiles, all at one place of the file."""
    ends = [start + sum(map(len, contents[:count])) for count in range(3)]
    tiles = len(kinds) - 2
    items = [
        _full(b"infe", 2, _u16(at, 0) + kind + b"\0", flags=hidden and kind == b"hvc1")
        for at, kind in enumerate(kinds, 1)
    ]
    places = [
        _u16(at, 0, 1) + _u32(ends[min(at, 3) - 1], len(contents[min(at, 3) - 1])) for at in range(1, len(kinds) + 1)
    ]
    shapes = [_full(b"ispe", 0, _u32(*shape)) for shape in (size, (_SIDE, _SIDE))]
    linked = [_u16(1) + b"\1\2", *(_u16(at) + b"\2\x81\3" for at in range(3, tiles + 3))]
    return _full(
        b"meta",
        0,
        _full(b"hdlr", 0, bytes(4) + b"pict" + bytes(13))
        + _full(b"pitm", 0, _u16(1))
        + _full(b"iinf", 0, _u16(len(items)) + b"".join(items))
        + _full(b"iref", 0, box(b"dimg", _u16(1, tiles, *range(3, tiles + 3))) + box(b"cdsc", _u16(2, 1, 1)))
        + _full(b"iloc", 0, b"\x44\0" + _u16(len(places)) + b"".join(places))
        + box(b"iprp", box(b"ipco", configuration, *shapes), _full(b"ipma", 0, _u32(len(linked)) + b"".join(linked))),
    )


def _box_in(file: bytes, kind: bytes) -> bytes:
    """The first box of a kind, wherever it lies."""
    at = file.index(kind) - 4
    return file[at : at + int.from_bytes(file[at : at + 4], "big")]


def _full(kind: bytes, version: int, body: bytes, flags: int = 0) -> bytes:
    return box(kind, bytes([version, 0, 0, flags]), body)


def _u16(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in numbers)


def _u32(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in numbers)
