"""Bodies in JSON or MessagePack, plain or compressed, both ways. Decoding is our own: Litestar's typed bodies cost
half the throughput."""

import enum
import re
import sys
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec
from litestar import Request, Response
from litestar.exceptions import InternalServerException

from sync.compression import WORTH_BYTES, Coding, compressed, decompressed
from sync.errors import SyncError

T = TypeVar("T")
AnyRequest: TypeAlias = Request[Any, Any, Any]


class Wire(enum.StrEnum):
    """The two encodings, by media type."""

    JSON = "application/json"
    MSGPACK = "application/msgpack"


BODY_CODES = ("body_malformed", "body_stalled", "body_too_large", "media_type_unsupported")
"""What reading a body can end in."""
_TYPES = {wire.value: wire for wire in Wire} | {"application/x-msgpack": Wire.MSGPACK}
_json = msgspec.json.Encoder().encode
_msgpack = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_REPLACEMENT = rb"\ufffd"
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<alone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


class Body(Generic[T]):
    """Reads request bodies of one type."""

    def __init__(self, type_: type[T]) -> None:
        self._from_json = msgspec.json.Decoder(type_)
        self._from_msgpack = msgspec.msgpack.Decoder(type_)

    async def read(self, request: AnyRequest) -> T:
        """The body. Raises SyncError `media_type_unsupported`, `body_malformed` or `body_too_large`."""
        wire = body_wire(request)
        most = request.route_handler.resolve_request_max_body_size()
        try:
            body = await request.body()
        except InternalServerException as error:
            # Litestar says so when the client hangs up: everyday life on mobile networks, not our failure.
            raise SyncError("body_malformed", "the body broke off") from error
        body = decompressed(body, request.headers.get("content-encoding", ""), most or sys.maxsize)
        try:
            return self._decoded(body, wire)
        except (msgspec.DecodeError, UnicodeDecodeError, OverflowError, RecursionError) as error:
            raise SyncError("body_malformed", str(error)) from error

    def _decoded(self, body: bytes, wire: Wire) -> T:
        if wire is Wire.MSGPACK:
            return self._from_msgpack.decode(body)
        try:
            return self._from_json.decode(body)
        except msgspec.DecodeError:
            return self._from_json.decode(well_formed(body))


def well_formed(text: bytes) -> bytes:
    """JSON with U+FFFD for each half of a character that lacks its other half, as ECMAScript's toWellFormed has it.

    A text field that cuts after so many units cuts an emoji in two; no more than this character is to be lost by it.
    """
    return _ESCAPES.sub(lambda found: _REPLACEMENT if found["alone"] else found[0], text)


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


def answer_coding(request: AnyRequest) -> Coding | None:
    """The coding to answer in: of those in Accept-Encoding the one preferred, zstd among equals; None for none."""
    best: tuple[float, Coding] | None = None
    offered = dict(_weighted(part) for part in request.headers.get("accept-encoding", "").split(","))
    for coding in Coding:
        weight = offered.get(coding, 0.0)
        if weight > 0 and (best is None or weight > best[0]):
            best = weight, coding
    return best[1] if best else None


def encoded(request: AnyRequest, value: Any) -> bytes:
    """`value` in the encoding the client reads."""
    return (_json if answer_wire(request) is Wire.JSON else _msgpack)(value)


def answer(request: AnyRequest, value: Any, status: int = 200) -> Response[bytes]:
    """`value` in the encoding and coding the client reads."""
    body = encoded(request, value)
    headers = {"Vary": "Accept, Accept-Encoding"}
    coding = answer_coding(request)
    if coding is not None and len(body) >= WORTH_BYTES:
        body = compressed(body, coding)
        headers["Content-Encoding"] = coding.value
    return Response(body, status_code=status, media_type=answer_wire(request).value, headers=headers)


def _weighted(part: str) -> tuple[str, float]:
    """One offer of Accept-Encoding and its weight, 0 where that cannot be read."""
    name, _, parameter = part.partition(";")
    try:
        weight = float(parameter.strip().removeprefix("q=") or 1)
    except ValueError:
        weight = 0.0
    return name.strip().lower(), weight
