"""Resumable upload: tus 1.0.0. Creation is signed as every call; then the upload's address is the key to it."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate

from litestar import Response, delete, get, patch, post, route
from litestar.enums import HttpMethod, MediaType
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from field_schemas.labels import Label
from media.errors import MediaError
from media.links import Links
from media.receiving import Body, BrokenOff, Piece
from media.tus import (
    CHECKSUMS,
    CHUNK_TYPE,
    EXTENSIONS,
    VERSION,
    Checksum,
    Metadata,
    read_checksum,
    read_concat,
    read_metadata,
    read_number,
    read_version,
)
from media.uploads import Chunk
from server.http import examples
from server.http.authentication import Gate
from server.http.described import Operation, described
from server.http.messages import UploadStatus
from server.http.negotiation import AnyRequest, answer
from server.http.routes.sessions import REVOKED_TOO_CODES
from server.media.rows import Standing, Wanted
from server.media.uploads import Uploads
from sync.errors import SyncError

TAG = Label("上传", "Uploads")
PATH = "/v1/uploads"
_ONE = PATH + "/{token:str}"

_NAMED = ("upload_unknown", "upload_gone", "account_disabled")
_CHUNK = (
    "tus_version_unsupported",
    "upload_header_invalid",
    "chunk_type_wrong",
    "offset_mismatch",
    "upload_superseded",
    "upload_busy",
    "upload_overrun",
    "upload_too_large",
    "upload_final",
    "checksum_unsupported",
    "checksum_mismatch",
    "digest_mismatch",
    "media_refused",
    "media_empty",
    "quota_exceeded",
    "storage_full",
)
_CREATE = Operation(
    tag=TAG,
    summary=Label(
        "创建上传 (tus 1.0.0)，地址在 Location 中", "Create an upload (tus 1.0.0); its address is in Location"
    ),
    status=201,
    codes=(*_CHUNK, "digest_unsupported", "upload_unknown", "upload_gone", "upload_unfinished", *REVOKED_TOO_CODES),
    proof=True,
    token=True,
)
_PATCH = Operation(tag=TAG, summary=Label("发送一个分块", "Send a chunk"), status=204, codes=(*_CHUNK, *_NAMED))
_HEAD = Operation(
    tag=TAG,
    summary=Label("查询已收到的字节数", "How many bytes are held"),
    codes=("tus_version_unsupported", "upload_busy", "digest_mismatch", "media_refused", *_NAMED),
)
_STATUS = Operation(
    tag=TAG,
    summary=Label("上传的状态，不打断传输", "Where the upload stands, without disturbing it"),
    response=UploadStatus,
    codes=_NAMED,
    answer_example=examples.UPLOAD_STATUS,
)
_END = Operation(
    tag=TAG,
    summary=Label("终止上传", "Terminate the upload"),
    status=204,
    codes=("tus_version_unsupported", "upload_busy", *_NAMED),
)
_POST = Operation(
    tag=TAG,
    summary=Label("以 X-HTTP-Method-Override 代替其他方法", "Another method, named by X-HTTP-Method-Override"),
    status=204,
    codes=("method_not_allowed", *_CHUNK, *_NAMED),
)


def upload_routes(gate: Gate, uploads: Uploads, links: Links) -> list[HTTPRouteHandler]:
    """The routes of uploads. A revoked device hands in its media too: it proves work that is kept apart."""

    def options() -> Response[None]:
        headers = {
            "Tus-Version": VERSION,
            "Tus-Extension": ",".join(EXTENSIONS),
            "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
            "Tus-Max-Size": str(uploads.rules.largest),
            "Gridwalk-Digest": uploads.receiver.algorithm,
        }
        return Response(None, status_code=204, headers=headers)

    @route(PATH, http_method=[HttpMethod.OPTIONS], status_code=204)
    async def all_options() -> Response[None]:
        return options()

    @route(_ONE, http_method=[HttpMethod.OPTIONS], status_code=204)
    async def one_options(token: FromPath[str]) -> Response[None]:  # noqa: ARG001 - part of the path
        return options()

    @post(PATH, opt=described(_CREATE), request_max_body_size=None)
    async def create(request: AnyRequest) -> Response[bytes]:
        who = await gate.identify(request, revoked_too=True)
        read_version(request.headers.get("tus-resumable"))
        wanted = _wanted(request, links)
        brings = _brings_chunk(request)
        standing = await uploads.create_known(who, wanted) if brings else None
        if standing is None:
            standing = await uploads.create(who, wanted)
            if brings:
                standing = await _first_chunk(uploads, standing, request)
        headers = {"Location": f"{PATH}/{links.upload_token(standing.row.id)}", **_expires(standing)}
        if brings:
            headers["Upload-Offset"] = str(standing.offset)
        return Response(b"", status_code=201, headers=headers)

    async def take(request: AnyRequest, token: str) -> Response[None]:
        if _content_type(request) != CHUNK_TYPE:
            raise MediaError("chunk_type_wrong", f"{_content_type(request)!r}; a chunk is {CHUNK_TYPE}")
        standing = await _told_when_broken(uploads.append(links.upload_of(token), _chunk(request), _body(request)))
        headers = {"Upload-Offset": str(standing.offset), **_expires(standing)}
        return Response(None, status_code=204, headers=headers)

    async def stand(_: AnyRequest, token: str) -> Response[None]:
        standing = await uploads.head(links.upload_of(token))
        return Response(None, status_code=200, headers=_described(standing), media_type=MediaType.TEXT)

    async def terminate(_: AnyRequest, token: str) -> Response[None]:
        await uploads.end(links.upload_of(token))
        return Response(None, status_code=204)

    by_method: dict[str, Callable[[AnyRequest, str], Awaitable[Response[None]]]] = {
        "PATCH": take,
        "HEAD": stand,
        "DELETE": terminate,
    }

    async def handle(request: AnyRequest, method: str, token: str) -> Response[None]:
        read_version(request.headers.get("tus-resumable"))
        if method not in by_method:
            raise SyncError("method_not_allowed", f"{method}; an upload knows {', '.join(by_method)}")
        return await by_method[method](request, token)

    @patch(_ONE, status_code=204, opt=described(_PATCH), request_max_body_size=None)
    async def send_chunk(request: AnyRequest, token: FromPath[str]) -> Response[None]:
        return await handle(request, "PATCH", token)

    @route(_ONE, http_method=[HttpMethod.HEAD], status_code=200, opt=described(_HEAD))
    async def head_upload(request: AnyRequest, token: FromPath[str]) -> Response[None]:
        return await handle(request, "HEAD", token)

    @delete(_ONE, status_code=204, opt=described(_END))
    async def end_upload(request: AnyRequest, token: FromPath[str]) -> Response[None]:
        return await handle(request, "DELETE", token)

    @post(_ONE, status_code=204, opt=described(_POST), request_max_body_size=None)
    async def overridden(request: AnyRequest, token: FromPath[str]) -> Response[None]:
        return await handle(request, request.headers.get("x-http-method-override", "POST").upper(), token)

    @get(_ONE, opt=described(_STATUS))
    async def status(request: AnyRequest, token: FromPath[str]) -> Response[bytes]:
        return answer(request, await _status(uploads, links, token))

    return [all_options, one_options, create, send_chunk, head_upload, end_upload, overridden, status]


async def _status(uploads: Uploads, links: Links, token: str) -> UploadStatus:
    standing = await uploads.status(links.upload_of(token))
    row = standing.row
    return UploadStatus(row.state, standing.offset, row.length, row.expires_ms, row.digest, row.code, row.detail)


async def _first_chunk(uploads: Uploads, standing: Standing, request: AnyRequest) -> Standing:
    """Take what came with the creation; when that fails, the client learns of no upload, and there is none."""
    chunk = Chunk(0, _size(request), checksum=_checksum(request))
    try:
        return await _told_when_broken(uploads.append(standing.row.id, chunk, _body(request)))
    except (MediaError, SyncError):
        with suppress(MediaError):
            await uploads.end(standing.row.id)
        raise


async def _told_when_broken(taking: Awaitable[Standing]) -> Standing:
    try:
        return await taking
    except BrokenOff as error:
        raise SyncError("body_malformed", "the body broke off; what arrived is kept") from error


def _wanted(request: AnyRequest, links: Links) -> Wanted:
    """The upload that a creation asks for. Raises MediaError."""
    headers = request.headers
    metadata = read_metadata(headers["upload-metadata"]) if "upload-metadata" in headers else Metadata()
    concat = read_concat(headers["upload-concat"]) if "upload-concat" in headers else None
    if concat is not None and concat.kind == "final":
        if "upload-length" in headers:
            raise MediaError("upload_header_invalid", "an upload made from others has the length these have")
        parts = tuple(links.upload_of(url.rstrip("/").rsplit("/", 1)[-1]) for url in concat.parts)
        return Wanted(metadata, concat=headers["upload-concat"], parts=parts)
    deferred = headers.get("upload-defer-length")
    if (deferred is None) == ("upload-length" not in headers) or deferred not in (None, "1"):
        raise MediaError("upload_header_invalid", "either Upload-Length, or Upload-Defer-Length: 1")
    return Wanted(metadata, _length(request), headers.get("upload-concat"))


def _chunk(request: AnyRequest) -> Chunk:
    offset = read_number("Upload-Offset", request.headers.get("upload-offset", ""))
    return Chunk(offset, _size(request), _length(request), _checksum(request))


def _checksum(request: AnyRequest) -> Checksum | None:
    header = request.headers.get("upload-checksum")
    return None if header is None else read_checksum(header)


def _length(request: AnyRequest) -> int | None:
    header = request.headers.get("upload-length")
    return None if header is None else read_number("Upload-Length", header)


def _size(request: AnyRequest) -> int | None:
    """How many bytes the body has; None where they come as long as they come."""
    header = request.headers.get("content-length")
    return None if header is None else read_number("Content-Length", header)


def _brings_chunk(request: AnyRequest) -> bool:
    """Whether a creation brings first bytes. Raises MediaError `chunk_type_wrong` for a body of another kind."""
    if _content_type(request) == CHUNK_TYPE:
        return True
    if _size(request) or "transfer-encoding" in request.headers:
        raise MediaError("chunk_type_wrong", f"first bytes come as {CHUNK_TYPE}")
    return False


def _content_type(request: AnyRequest) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _body(request: AnyRequest) -> Body:
    async def next_piece() -> Piece:
        message = await request.receive()
        if message["type"] != "http.request":
            raise BrokenOff
        return message["body"], message["more_body"]

    return next_piece


def _described(standing: Standing) -> dict[str, str]:
    row = standing.row
    headers = {"Upload-Offset": str(standing.offset), **_expires(standing)}
    if row.length is None:
        headers["Upload-Defer-Length"] = "1"
    else:
        headers["Upload-Length"] = str(row.length)
    if row.metadata:
        headers["Upload-Metadata"] = row.metadata
    if row.concat:
        headers["Upload-Concat"] = row.concat
    return headers


def _expires(standing: Standing) -> dict[str, str]:
    return {"Upload-Expires": formatdate(standing.row.expires_ms / 1000, usegmt=True)}
