"""Snapshots: what a large area holds, for devices that have nothing of it yet."""

import re
from collections.abc import AsyncIterator

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Stream

from field_schemas.labels import Label
from server.http import examples
from server.http.authentication import Gate
from server.http.described import Operation, described
from server.http.negotiation import BODY_CODES, AnyRequest, Body, answer_wire, encoded
from server.http.routes.sessions import TOKEN_CODES
from server.http.routes.sync import TAG
from server.snapshots.files import KeptSnapshot
from server.snapshots.library import Snapshots
from sync.errors import SyncError
from sync.messages import SnapshotRequest, SnapshotResponse

_RANGE = re.compile(r"bytes=(\d{1,15})-\Z")

_ASK = Operation(
    tag=TAG,
    summary=Label("一个大范围的快照", "The snapshot of a large scope"),
    request=SnapshotRequest,
    response=SnapshotResponse,
    codes=("scope_denied", "not_found", *BODY_CODES, *TOKEN_CODES),
    example=examples.SNAPSHOT,
    answer_example=examples.SNAPSHOT_ANSWER,
    proof=True,
    token=True,
)
_CONTENT = Operation(
    tag=TAG,
    summary=Label("快照内容，可从任意位置续传", "A snapshot's content, from any place on"),
    codes=("not_found", "scope_denied", "parameter_invalid", *TOKEN_CODES),
    proof=True,
    token=True,
)


def snapshot_routes(gate: Gate, snapshots: Snapshots) -> list[HTTPRouteHandler]:
    """The routes by which devices load large areas."""
    body = Body(SnapshotRequest)

    @post("/v1/snapshots", status_code=200, opt=described(_ASK))
    async def ask(request: AnyRequest) -> Stream:
        who, wanted = await gate.read(request, body)
        give = await snapshots.ask(who.actor, wanted)

        async def given() -> AsyncIterator[bytes]:
            yield encoded(request, await give())

        # A stream has begun before its body is there: who waits for a snapshot keeps nobody else waiting.
        return Stream(given(), media_type=answer_wire(request).value)

    @get("/v1/snapshots/{snapshot:str}", opt=described(_CONTENT))
    async def content(request: AnyRequest, snapshot: FromPath[str]) -> Stream:
        who = await gate.identify(request)
        kept = await snapshots.find(who.actor, snapshot)
        return await _streamed(snapshots, kept, request.headers.get("range"))

    return [ask, content]


async def _streamed(snapshots: Snapshots, kept: KeptSnapshot, wanted: str | None) -> Stream:
    size = sum(block.bytes for block in kept.blocks)
    # Another kind of range than "from here to the end" may be left unheeded (RFC 9110).
    found = _RANGE.match(wanted or "")
    start = int(found[1]) if found else 0
    if found and start >= size:
        raise SyncError("parameter_invalid", f"the content has {size} bytes; none from {start} on")
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{kept.id}"', "Content-Length": str(size - start)}
    if found:
        headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
    return Stream(
        await snapshots.content(kept.id, start),
        status_code=206 if found else 200,
        media_type="application/octet-stream",
        headers=headers,
    )
