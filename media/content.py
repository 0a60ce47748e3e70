"""What kind of media bytes are, by their first bytes and never by their name. Pure."""

from field_schemas.media import MediaType

HEAD_BYTES = 64
"""How many first bytes tell the kind."""
EXTENSIONS: dict[MediaType, str] = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/heic": "heic",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "audio/mp4": "m4a",
}
# The brands of ISO/IEC 14496-12 and 23008-12 that phones write.
_BRANDS: dict[bytes, MediaType] = {
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"), "image/heic"),
    **dict.fromkeys((b"qt  ",), "video/quicktime"),
    **dict.fromkeys((b"M4A ", b"M4B "), "audio/mp4"),
    **dict.fromkeys(
        (b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"M4V ", b"MSNV", b"3gp4", b"3gp5"),
        "video/mp4",
    ),
}


def kind_of(head: bytes) -> MediaType | None:
    """The media type of a file that starts with `head` (HEAD_BYTES, or all of a shorter file); None: not allowed."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    return None


def _by_brand(head: bytes) -> MediaType | None:
    """By the major brand; a file whose major brand we do not know may name one we do among the compatible ones."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
    # AVIF names mif1 beside its own brand.
    if b"avif" in brands or b"avis" in brands:
        return None
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)
