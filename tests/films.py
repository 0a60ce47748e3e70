"""Video files made to measure: containers with what phones write into them, and no picture."""

from datetime import datetime

MAC_EPOCH_S = 2_082_844_800


def box(kind: bytes, *parts: bytes) -> bytes:
    """One box of an ISO base media file."""
    body = b"".join(parts)
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def film(
    made: datetime | None = None,
    place: str | None = None,
    keys: dict[str, str] | None = None,
    *,
    brand: bytes = b"isom",
    seconds: int = 5,
    size: tuple[int, int] = (1920, 1080),
) -> bytes:
    """An MP4 or MOV: `made` in its header, `place` (ISO 6709) as `©xyz`, `keys` as Apple's and Android's metadata."""
    made_s = 0 if made is None else int(made.timestamp()) + MAC_EPOCH_S
    head = bytes(4) + b"".join(number.to_bytes(4, "big") for number in (made_s, made_s, 1000, seconds * 1000))
    frame = bytes(76) + (size[0] << 16).to_bytes(4, "big") + (size[1] << 16).to_bytes(4, "big")
    parts = [box(b"mvhd", head + bytes(80)), box(b"trak", box(b"tkhd", frame))]
    if place is not None:
        said = len(place).to_bytes(2, "big") + b"\x15\xc7" + place.encode()
        parts.append(box(b"udta", box(b"\xa9xyz", said)))
    if keys:
        parts.append(_keyed(keys))
    return box(b"ftyp", brand, bytes(4), b"mp42") + box(b"moov", *parts) + box(b"mdat", bytes(64))


def _keyed(keys: dict[str, str]) -> bytes:
    names = b"".join(box(b"mdta", name.encode()) for name in keys)
    values = b"".join(
        box(index.to_bytes(4, "big"), box(b"data", (1).to_bytes(4, "big"), bytes(4), value.encode()))
        for index, value in enumerate(keys.values(), 1)
    )
    listed = box(b"keys", bytes(4), len(keys).to_bytes(4, "big"), names)
    return box(b"meta", box(b"hdlr", bytes(25)), listed, box(b"ilst", values))
