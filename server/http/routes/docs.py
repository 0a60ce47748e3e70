"""The API description for machines, and a page of it for people that works without internet."""

from importlib.resources import files
from typing import Any

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

_PAGE = files("server.http").joinpath("docs.html")
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"


def docs_routes(document: dict[str, Any]) -> list[HTTPRouteHandler]:
    """The routes of the API description."""
    body = msgspec.json.encode(document)
    page = _PAGE.read_bytes()

    @get("/openapi.json")
    async def openapi() -> Response[bytes]:
        return Response(body, media_type="application/json")

    @get("/docs")
    async def docs() -> Response[bytes]:
        return Response(page, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _POLICY})

    return [openapi, docs]
