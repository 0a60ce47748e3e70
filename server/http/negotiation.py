"""Bodies in JSON or MessagePack, both ways. Decoding is our own: Litestar's typed bodies cost half the throughput."""

import enum
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec
from litestar import Request, Response
from litestar.exceptions import InternalServerException

from sync.errors import SyncError

T = TypeVar("T")
AnyRequest: TypeAlias = Request[Any, Any, Any]


class Wire(enum.StrEnum):
    """The two encodings, by media type."""

    JSON = "application/json"
    MSGPACK = "application/msgpack"


BODY_CODES = ("body_malformed", "body_too_large", "media_type_unsupported")
"""What reading a body can end in."""
_TYPES = {wire.value: wire for wire in Wire} | {"application/x-msgpack": Wire.MSGPACK}
_json = msgspec.json.Encoder().encode
_msgpack = msgspec.msgpack.Encoder(uuid_format="bytes").encode


class Body(Generic[T]):
    """Reads request bodies of one type."""

    def __init__(self, type_: type[T]) -> None:
        self._from_json = msgspec.json.Decoder(type_)
        self._from_msgpack = msgspec.msgpack.Decoder(type_)

    async def read(self, request: AnyRequest) -> T:
        """The body. Raises SyncError `media_type_unsupported` or `body_malformed`."""
        wire = body_wire(request)
        try:
            body = await request.body()
        except InternalServerException as error:
            # Litestar says so when the client hangs up: everyday life on mobile networks, not our failure.
            raise SyncError("body_malformed", "the body broke off") from error
        try:
            return self._from_json.decode(body) if wire is Wire.JSON else self._from_msgpack.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, OverflowError, RecursionError) as error:
            raise SyncError("body_malformed", str(error)) from error


def body_wire(request: AnyRequest) -> Wire:
    """The encoding of the request's body. Raises SyncError `media_type_unsupported`."""
    named = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    wire = _TYPES.get(named)
    if wire is None:
        raise SyncError(
            "media_type_unsupported", f"{named or 'no content type'!r}; use {Wire.JSON} or {Wire.MSGPACK}"
        )
    return wire


def answer_wire(request: AnyRequest) -> Wire:
    """The encoding to answer in: the first that Accept names; otherwise as the body came; otherwise JSON."""
    for part in request.headers.get("accept", "").split(","):
        if wire := _TYPES.get(part.partition(";")[0].strip().lower()):
            return wire
    return _TYPES.get(request.headers.get("content-type", "").partition(";")[0].strip().lower(), Wire.JSON)


def answer(request: AnyRequest, value: Any, status: int = 200) -> Response[bytes]:
    """`value` in the encoding the client reads."""
    wire = answer_wire(request)
    encode = _json if wire is Wire.JSON else _msgpack
    return Response(encode(value), status_code=status, media_type=wire.value)
