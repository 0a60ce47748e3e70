"""Media for readers: who may see it gets a link, and the link alone brings the bytes, as an image tag asks."""

import re
from typing import Annotated

from litestar import Response, get, post, route
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Stream

from field_schemas.labels import Label
from media.content import EXTENSIONS
from media.derivatives import SIZES, Derivative
from media.errors import MediaError, OutsideRange
from server.http import examples
from server.http.authentication import Gate
from server.http.described import Operation, described
from server.http.messages import MediaLink, Publication
from server.http.negotiation import BODY_CODES, AnyRequest, Body, answer
from server.http.routes.sessions import TOKEN_CODES
from server.media.parts import Media
from server.media.pictures import Pictures
from server.media.shelf import Blob
from sync.clock import Milliseconds
from sync.errors import SyncError

TAG = Label("媒体", "Media")
PATH = "/v1/media"
_NO_SNIFFING = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Accept-Ranges": "bytes",
}
_MADE = "image/jpeg"
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")

_LINK = Operation(
    tag=TAG,
    summary=Label("一个媒体文件的限时链接", "A link to one photo or video, for a while"),
    response=MediaLink,
    codes=("media_unknown", "parameter_invalid", *TOKEN_CODES),
    answer_example=examples.MEDIA_LINK,
    proof=True,
    token=True,
)
_PUBLISH = Operation(
    tag=TAG,
    summary=Label(
        "生成可公开的图片：去除元数据，遮盖所列区域", "A picture for the public: no metadata, regions painted over"
    ),
    request=Publication,
    response=MediaLink,
    codes=(
        "media_unknown",
        "role_denied",
        "picture_unavailable",
        "storage_unavailable",
        "overloaded",
        *BODY_CODES,
        *TOKEN_CODES,
    ),
    example=examples.PUBLICATION,
    answer_example=examples.PICTURE_LINK,
    proof=True,
    token=True,
)
_CONTENT = Operation(
    tag=TAG,
    summary=Label(
        "媒体内容 (支持 Range)，凭链接读取", "The bytes, by a link; Range and If-None-Match are understood"
    ),
    codes=(
        "link_invalid",
        "media_unknown",
        "range_invalid",
        "picture_unavailable",
        "storage_unavailable",
        "overloaded",
    ),
)


def media_routes(
    gate: Gate, media: Media, pictures: Pictures, link_ms: int, now_ms: Milliseconds
) -> list[HTTPRouteHandler]:
    """The routes of media; a link is good for `link_ms`."""
    library, shelf, links = media.library, media.shelf, media.links
    publication_body = Body(Publication)

    def link_to(blob: Blob, picture: str) -> MediaLink:
        until = now_ms() + link_ms
        query = f"expires={until}&signature={links.signature(blob.digest, picture, until)}"
        url = f"{PATH}/{blob.digest}/content?{f'picture={picture}&' if picture else ''}{query}"
        if picture:
            return MediaLink(blob.digest, None, _MADE, url, until)
        return MediaLink(blob.digest, blob.size, blob.media_type, url, until)

    @get(PATH + "/{digest:str}", opt=described(_LINK))
    async def link(request: AnyRequest, digest: FromPath[str], size: FromQuery[str] = "") -> Response[bytes]:
        who = await gate.identify(request)
        if size and size not in SIZES:
            raise SyncError("parameter_invalid", f"{size!r}; sizes are {', '.join(SIZES)}")
        blob = await library.find(who, digest)
        if blob is None:
            raise MediaError("media_unknown", "it is not here, or not for this reader")
        return answer(request, link_to(blob, size))

    @post(PATH + "/{digest:str}/publications", status_code=200, opt=described(_PUBLISH))
    async def publish(request: AnyRequest, digest: FromPath[str]) -> Response[bytes]:
        who, wanted = await gate.read(request, publication_body)
        blob = await library.find_supervised(who, digest)
        wish = Derivative(side_px=wanted.side_px, hidden=wanted.hidden)
        await pictures.get(blob, wish)
        return answer(request, link_to(blob, wish.name))

    async def picture_of(request: AnyRequest, blob: Blob, picture: str) -> Response[bytes]:
        wish = SIZES.get(picture)
        headers = _headers(f"{blob.digest}-{picture}", f"{picture}-{_name(blob)}.jpg")
        if _matches(request.headers.get("if-none-match", ""), headers["ETag"]):
            return Response(b"", status_code=304, headers=headers)
        made = await (pictures.get(blob, wish) if wish else pictures.find(blob, picture))
        headers |= {"Content-Length": str(len(made)), "Accept-Ranges": "none"}
        return Response(b"" if request.method == "HEAD" else made, headers=headers, media_type=_MADE)

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
        picture: FromQuery[str] = "",
    ) -> Stream | Response[bytes]:
        links.check(digest, picture, expires, signature, now_ms())
        blob = await shelf.find(digest)
        if blob is None:
            raise MediaError("media_unknown", "it is not here any more")
        if picture:
            return await picture_of(request, blob, picture)
        headers = _headers(blob.digest, f"{_name(blob)}.{EXTENSIONS[blob.media_type]}")
        if _matches(request.headers.get("if-none-match", ""), headers["ETag"]):
            return Response(b"", status_code=304, headers=headers)
        start, end = _range(request, blob, headers["ETag"])
        partly = (start, end) != (0, blob.size)
        if partly:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{blob.size}"
        headers["Content-Length"] = str(end - start)
        if request.method == "HEAD":
            if await shelf.bytes_of.size(digest) != blob.size:
                raise MediaError("media_unknown", f"{digest} is not in the store")
            return Response(b"", status_code=206 if partly else 200, headers=headers, media_type=blob.media_type)
        return Stream(
            await shelf.bytes_of.read(digest, start, end),
            status_code=206 if partly else 200,
            headers=headers,
            media_type=blob.media_type,
        )

    return [link, publish, content]


def _name(blob: Blob) -> str:
    return blob.digest.partition(":")[2][:16]


def _headers(tag: str, name: str) -> dict[str, str]:
    return {
        "ETag": f'"{tag}"',
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
