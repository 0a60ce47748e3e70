"""Media in records: a record names a photo or video by the digest of its bytes, which travel apart from it."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_type_hints

import msgspec

from field_schemas.places import Position
from field_schemas.record import RecordType
from field_schemas.types.values import ShortText, Time

MediaType = Literal[
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/heic",
    "video/mp4",
    "video/quicktime",
    "audio/mp4",
]
"""What may be uploaded: JPEG, PNG, WebP, HEIC, MP4, MOV, M4A."""
DigestName = Literal["sha256", "sm3"]
_DIGEST = r"^(sha256|sm3):[0-9a-f]{64}$(?!\n)"
Digest = Annotated[str, msgspec.Meta(pattern=_DIGEST, title="Digest of the bytes: sha256:<hex> or sm3:<hex>")]
_is_digest = re.compile(_DIGEST).search
_NAME_LENGTH = 200
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class MediaRef(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A photo, video or recording: what its bytes are, and when (UTC) and where the device says it was captured.

    `size` is in bytes. It may be named before its bytes have arrived. Of `name` only what a person may safely read is
    kept. What is claimed here is compared with the file when that has arrived.
    """

    digest: Digest
    size: Annotated[int, msgspec.Meta(ge=1, le=2**50)]
    media_type: MediaType
    captured_at: Time | None = None
    place: Position | None = None
    name: ShortText | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            msgspec.structs.force_setattr(self, "name", safe_name(self.name) or None)


def safe_name(name: str) -> str:
    """A file name for people to read: no folders, no control or direction characters, at most 200 characters."""
    last = _UNPRINTABLE.sub("", name.replace("\\", "/")).rsplit("/", 1)[-1]
    return last.strip(" .")[:_NAME_LENGTH]


def is_digest(text: str) -> bool:
    """Whether `text` is a digest as records name media."""
    return _is_digest(text) is not None


def media_fields(spec: RecordType[Any]) -> tuple[str, ...]:
    """The fields of a type that can name media, whatever the depth."""
    hints = get_type_hints(spec.cls)
    return tuple(name for name in spec.fields if _holds_media(msgspec.inspect.type_info(hints[name])))


def digests_in(value: Any) -> Iterator[str]:
    """The digests of all media named in a decoded value, whatever its shape."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case dict() as members:
                digest = members.get("digest")
                if isinstance(digest, str) and is_digest(digest):
                    yield digest
                waiting += members.values()
            case list() as items:
                waiting += items


def ref_in(value: Any, digest: str) -> MediaRef | None:
    """How a decoded value, whatever its shape, names the media `digest`; None where it does not, or not well."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case {"digest": str() as named} as members if named == digest:
                try:
                    return msgspec.convert(members, MediaRef)
                except msgspec.ValidationError:
                    continue
            case dict() as members:
                waiting += members.values()
            case list() as items:
                waiting += items
    return None


def _holds_media(info: msgspec.inspect.Type) -> bool:
    match info:
        case msgspec.inspect.StructType():
            return info.cls is MediaRef or any(_holds_media(field.type) for field in info.fields)
        case msgspec.inspect.UnionType():
            return any(map(_holds_media, info.types))
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            return _holds_media(info.item_type)
        case msgspec.inspect.DictType():
            return _holds_media(info.value_type)
    return False
