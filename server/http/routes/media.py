"""Media for readers: who may see it gets a link, and the link alone brings the bytes, as an image tag asks."""

import re
from typing import Annotated

from litestar import Response, get, route
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Stream

from field_schemas.labels import Label
from media.content import EXTENSIONS
from media.errors import MediaError, OutsideRange
from media.links import Links
from server.http import examples
from server.http.authentication import Gate
from server.http.described import Operation, described
from server.http.messages import MediaLink
from server.http.negotiation import AnyRequest, answer
from server.http.routes.sessions import TOKEN_CODES
from server.media.library import Library
from server.media.shelf import Blob, Shelf
from sync.clock import Milliseconds

TAG = Label("媒体", "Media")
PATH = "/v1/media"
_NO_SNIFFING = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Accept-Ranges": "bytes",
}
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")

_LINK = Operation(
    tag=TAG,
    summary=Label("一个媒体文件的限时链接", "A link to one photo or video, for a while"),
    response=MediaLink,
    codes=("media_unknown", *TOKEN_CODES),
    answer_example=examples.MEDIA_LINK,
    proof=True,
    token=True,
)
_CONTENT = Operation(
    tag=TAG,
    summary=Label(
        "媒体内容 (支持 Range)，凭链接读取", "The bytes, by a link; Range and If-None-Match are understood"
    ),
    codes=("link_invalid", "media_unknown", "range_invalid"),
)


def media_routes(
    gate: Gate, library: Library, shelf: Shelf, links: Links, link_ms: int, now_ms: Milliseconds
) -> list[HTTPRouteHandler]:
    """The routes of media; a link is good for `link_ms`."""

    @get(PATH + "/{digest:str}", opt=described(_LINK))
    async def link(request: AnyRequest, digest: FromPath[str]) -> Response[bytes]:
        who = await gate.identify(request)
        blob = await library.find(who, digest)
        if blob is None:
            raise MediaError("media_unknown", "it is not here, or not for this reader")
        until = now_ms() + link_ms
        url = f"{PATH}/{digest}/content?expires={until}&signature={links.signature(digest, until)}"
        return answer(request, MediaLink(blob.digest, blob.size, blob.media_type, url, until))

    @route(
        PATH + "/{digest:str}/content",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        status_code=200,
        opt=described(_CONTENT),
    )
    async def content(
        request: AnyRequest,
        digest: FromPath[str],
        expires: Annotated[int, QueryParameter(ge=0, lt=2**53)],
        signature: FromQuery[str],
    ) -> Stream | Response[bytes]:
        links.check(digest, expires, signature, now_ms())
        blob = await shelf.find(digest)
        if blob is None:
            raise MediaError("media_unknown", "it is not here any more")
        headers = _headers(blob)
        if _matches(request.headers.get("if-none-match", ""), headers["ETag"]):
            return Response(b"", status_code=304, headers=headers)
        start, end = _range(request, blob, headers["ETag"])
        partly = (start, end) != (0, blob.size)
        if partly:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{blob.size}"
        headers["Content-Length"] = str(end - start)
        if request.method == "HEAD":
            return Response(b"", status_code=206 if partly else 200, headers=headers, media_type=blob.media_type)
        return Stream(
            shelf.bytes_of.read(digest, start, end),
            status_code=206 if partly else 200,
            headers=headers,
            media_type=blob.media_type,
        )

    return [link, content]


def _headers(blob: Blob) -> dict[str, str]:
    name = f"{blob.digest.partition(':')[2][:16]}.{EXTENSIONS[blob.media_type]}"
    return {
        "ETag": f'"{blob.digest}"',
        "Content-Disposition": f'inline; filename="{name}"',
        # What a digest names never changes; but it is for this reader alone.
        "Cache-Control": "private, max-age=86400, immutable",
        **_NO_SNIFFING,
    }


def _matches(header: str, etag: str) -> bool:
    return header.strip() == "*" or etag in [one.strip().removeprefix("W/") for one in header.split(",")]


def _range(request: AnyRequest, blob: Blob, etag: str) -> tuple[int, int]:
    """The bytes asked for, from and up to; anything but one range means all. Raises OutsideRange."""
    found = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if not found or not any(found.groups()) or request.headers.get("if-range", etag) != etag:
        return 0, blob.size
    first, last = found.groups()
    start = int(first) if first else max(blob.size - int(last), 0)
    end = min(int(last) + 1, blob.size) if first and last else blob.size
    if start >= end:
        raise OutsideRange("range_invalid", f"{found.group()} of {blob.size} bytes", blob.size)
    return start, end
