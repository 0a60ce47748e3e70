"""HEIC files made to measure: a picture written as HEVC without any compression (PCM blocks), in ISO boxes.

No encoder is needed, and none is there whose licence would do. Follows ITU-T H.265 (04/2013) 7.3 and 9.3, and
ISO/IEC 23008-12. The picture is grey; its sides are multiples of 32.
"""

from PIL import Image

from tests.films import box

_BLOCK = 32
_BLOCK_BITS = 5


class Bits:
    """A string of bits with the codes that HEVC headers are written in."""

    def __init__(self) -> None:
        self.text = ""

    def u(self, width: int, value: int) -> None:
        """A number of fixed width."""
        self.text += f"{value:0{width}b}" if width else ""

    def ue(self, value: int) -> None:
        """A number in Exp-Golomb code."""
        digits = f"{value + 1:b}"
        self.text += "0" * (len(digits) - 1) + digits

    def closed(self) -> bytes:
        """The bytes, after the stop bit and zeros up to a whole byte."""
        text = self.text + "1"
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")


class Arithmetic:
    """The arithmetic coder of 9.3.4 for the few symbols there are: "not split", and the two ends."""

    def __init__(self) -> None:
        self.text, self.state = "", 0
        self._restart()

    def _restart(self) -> None:
        self.low, self.range, self.first, self.outstanding = 0, 510, True, 0

    def not_split(self) -> None:
        """split_cu_flag 0, the more probable symbol from the start (9.3.2.2 at QP 26), and ever more so."""
        self.range -= _RANGES[self.state][self.range >> 6 & 3]
        self.state = min(62, self.state + 1)
        self._renormalise()

    def end(self, value: int) -> None:
        """A bin that says whether something ends; after a 1 whole bytes follow."""
        self.range -= 2
        if value:
            self.low += self.range
            self.range = 2
            self._renormalise()
            self._put(self.low >> 9 & 1)
            self.text += f"{self.low >> 7 & 3 | 1:02b}"
        else:
            self._renormalise()

    def samples(self, raw: bytes) -> None:
        """PCM samples, aligned to bytes; the coder starts afresh behind them."""
        self.text += "0" * (-len(self.text) % 8)
        self.text += "".join(f"{level:08b}" for level in raw)
        self._restart()

    def _renormalise(self) -> None:
        while self.range < 256:
            if self.low < 256:
                self._put(0)
            elif self.low >= 512:
                self.low -= 512
                self._put(1)
            else:
                self.low -= 256
                self.outstanding += 1
            self.range <<= 1
            self.low <<= 1

    def _put(self, bit: int) -> None:
        if self.first:
            self.first = False
        else:
            self.text += str(bit)
        self.text += str(1 - bit) * self.outstanding
        self.outstanding = 0


# 9.3.4.3.2.2: the range of the less probable symbol, by state.
_RANGES = (
    (128, 176, 208, 240), (128, 167, 197, 227), (128, 158, 187, 216), (123, 150, 178, 205),
    (116, 142, 169, 195), (111, 135, 160, 185), (105, 128, 152, 175), (100, 122, 144, 166),
    (95, 116, 137, 158), (90, 110, 130, 150), (85, 104, 123, 142), (81, 99, 117, 135),
    (77, 94, 111, 128), (73, 89, 105, 122), (69, 85, 100, 116), (66, 80, 95, 110),
    (62, 76, 90, 104), (59, 72, 86, 99), (56, 69, 81, 94), (53, 65, 77, 89),
    (51, 62, 73, 85), (48, 59, 69, 80), (46, 56, 66, 76), (43, 53, 63, 72),
    (41, 50, 59, 69), (39, 48, 56, 65), (37, 45, 54, 62), (35, 43, 51, 59),
    (33, 41, 48, 56), (32, 39, 46, 53), (30, 37, 43, 50), (29, 35, 41, 48),
    (27, 33, 39, 45), (26, 31, 37, 43), (24, 30, 35, 41), (23, 28, 33, 39),
    (22, 27, 32, 37), (21, 26, 30, 35), (20, 24, 29, 33), (19, 23, 27, 31),
    (18, 22, 26, 30), (17, 21, 25, 28), (16, 20, 23, 27), (15, 19, 22, 25),
    (14, 18, 21, 24), (14, 17, 20, 23), (13, 16, 19, 22), (12, 15, 18, 21),
    (12, 14, 17, 20), (11, 14, 16, 19), (11, 13, 15, 18), (10, 12, 15, 17),
    (10, 12, 14, 16), (9, 11, 13, 15), (9, 11, 12, 14), (8, 10, 12, 14),
    (8, 9, 11, 13), (7, 9, 11, 12), (7, 9, 10, 12), (7, 8, 10, 11),
    (6, 8, 9, 11), (6, 7, 9, 10), (6, 7, 8, 9),
)  # fmt: skip


def heic(picture: Image.Image, exif: bytes = b"") -> bytes:
    """The bytes of a HEIC file that shows `picture` in grey, with EXIF as Pillow takes it."""
    # Video levels: black is 16, white 235.
    grey = picture.convert("L").point(lambda level: 16 + round(level * 219 / 255))
    if grey.width % _BLOCK or grey.height % _BLOCK:
        raise ValueError(f"the sides of a HEIC made here are multiples of {_BLOCK}")
    coded = _unit(19, _slice(grey))
    frame = len(coded).to_bytes(4, "big") + coded
    tiff = (0).to_bytes(4, "big") + exif.removeprefix(b"Exif\0\0") if exif else b""
    head = box(b"ftyp", b"heic", bytes(4), b"mif1", b"heic")
    size = len(head) + len(_meta(grey.size, 0, len(frame), len(tiff)))
    return head + _meta(grey.size, size + 8, len(frame), len(tiff)) + box(b"mdat", frame, tiff)


def _meta(size: tuple[int, int], start: int, frame: int, tiff: int) -> bytes:
    items = [_full(b"infe", 2, b"\0\x01\0\0hvc1\0")]
    places = [b"\0\x01\0\0\0\x01" + start.to_bytes(4, "big") + frame.to_bytes(4, "big")]
    if tiff:
        items.append(_full(b"infe", 2, b"\0\x02\0\0Exif\0"))
        places.append(b"\0\x02\0\0\0\x01" + (start + frame).to_bytes(4, "big") + tiff.to_bytes(4, "big"))
    count = len(items).to_bytes(2, "big")
    shape = _full(b"ispe", 0, size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big"))
    properties = box(b"ipco", box(b"hvcC", _configuration(size)), shape)
    linked = _full(b"ipma", 0, b"\0\0\0\x01\0\x01\x02\x81\x02")
    described = box(b"iref", bytes(4), box(b"cdsc", b"\0\x02\0\x01\0\x01")) if tiff else b""
    return _full(
        b"meta",
        0,
        _full(b"hdlr", 0, bytes(4) + b"pict" + bytes(13))
        + _full(b"pitm", 0, b"\0\x01")
        + _full(b"iinf", 0, count + b"".join(items))
        + described
        + _full(b"iloc", 0, b"\x44\0" + count + b"".join(places))
        + box(b"iprp", properties, linked),
    )


def _full(kind: bytes, version: int, body: bytes) -> bytes:
    return box(kind, version.to_bytes(1, "big") + bytes(3), body)


def _unit(kind: int, payload: bytes) -> bytes:
    """A NAL unit: header, then the payload with 3s that keep it from looking like a start code."""
    safe, zeros = bytearray(), 0
    for byte in payload:
        if zeros >= 2 and byte <= 3:
            safe.append(3)
            zeros = 0
        safe.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes([kind << 1, 1]) + bytes(safe)


def _profile(bits: Bits) -> None:
    """Main profile, level 4; progressive, frames only."""
    bits.u(8, 1)
    bits.u(32, 0x60000000)
    bits.u(4, 0b1001)
    bits.u(44, 0)
    bits.u(8, 120)


def _video_set() -> bytes:
    bits = Bits()
    for width, value in ((4, 0), (2, 3), (6, 0), (3, 0), (1, 1), (16, 0xFFFF)):
        bits.u(width, value)
    _profile(bits)
    bits.u(1, 1)
    for value in (0, 0, 0):
        bits.ue(value)
    bits.u(6, 0)
    bits.ue(0)
    bits.u(2, 0)
    return _unit(32, bits.closed())


def _sequence_set(size: tuple[int, int]) -> bytes:
    bits = Bits()
    for width, value in ((4, 0), (3, 0), (1, 1)):
        bits.u(width, value)
    _profile(bits)
    # Set 0, 4:2:0, size, no cropping, 8 bits, order of 4 bits, one layer.
    bits.ue(0)
    bits.ue(1)
    bits.ue(size[0])
    bits.ue(size[1])
    bits.u(1, 0)
    for value in (0, 0, 0):
        bits.ue(value)
    bits.u(1, 1)
    for value in (0, 0, 0):
        bits.ue(value)
    # Coding blocks from 16 to 32, transforms from 4 to 16.
    for value in (1, 1, 0, 2, 0, 0):
        bits.ue(value)
    bits.u(3, 0)
    # PCM of 8 bits in blocks of 32, not filtered.
    bits.u(1, 1)
    bits.u(4, 7)
    bits.u(4, 7)
    bits.ue(_BLOCK_BITS - 3)
    bits.ue(0)
    bits.u(1, 1)
    bits.ue(0)
    bits.u(5, 0)
    return _unit(33, bits.closed())


def _picture_set() -> bytes:
    bits = Bits()
    bits.ue(0)
    bits.ue(0)
    bits.u(7, 0)
    bits.ue(0)
    bits.ue(0)
    # QP 26, plain in everything.
    bits.ue(0)
    bits.u(3, 0)
    bits.ue(0)
    bits.ue(0)
    bits.u(6, 0)
    # No filter across slices, no deblocking, no lists.
    bits.u(4, 0b0101)
    bits.u(2, 0)
    bits.ue(0)
    bits.u(2, 0)
    return _unit(34, bits.closed())


def _slice(grey: Image.Image) -> bytes:
    head = Bits()
    # First slice of an IDR picture, keeps no other pictures, set 0, type I, QP 26.
    head.u(1, 1)
    head.u(1, 0)
    head.ue(0)
    head.ue(2)
    head.ue(0)
    coder = Arithmetic()
    corners = [(x, y) for y in range(0, grey.height, _BLOCK) for x in range(0, grey.width, _BLOCK)]
    for x, y in corners:
        coder.not_split()
        coder.end(1)
        block = grey.crop((x, y, x + _BLOCK, y + _BLOCK)).tobytes()
        coder.samples(block + b"\x80" * (_BLOCK * _BLOCK // 2))
        coder.end(int((x, y) == corners[-1]))
    text = coder.text + "0" * (-len(coder.text) % 8)
    return head.closed() + int(text, 2).to_bytes(len(text) // 8, "big")


def _configuration(size: tuple[int, int]) -> bytes:
    """The decoder configuration record (ISO/IEC 14496-15 8.3.3.1) with the three parameter sets."""
    head = b"\x01\x01\x60\0\0\0\x90\0\0\0\0\0\x78\xf0\0\xfc\xfd\xf8\xf8\0\0\x0f\x03"
    sets = ((32, _video_set()), (33, _sequence_set(size)), (34, _picture_set()))
    return head + b"".join(bytes([0x80 | kind, 0, 1]) + len(unit).to_bytes(2, "big") + unit for kind, unit in sets)
