"""Push and pull."""

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler

from field_schemas.labels import Label
from field_schemas.registry import Registry
from server.group_commit import PushQueue
from server.http import examples
from server.http.authentication import Gate
from server.http.described import Operation, described
from server.http.negotiation import AnyRequest, Body, Wire, answer, answer_wire, body_wire
from server.http.routes.sessions import TOKEN_CODES
from server.http.transcoding import changes_from_json, page_for_json
from sync.clock import Milliseconds
from sync.errors import SyncError
from sync.messages import PullRequest, PullResponse, PushRequest, PushResponse
from sync.pull import pull
from sync.storage import Store

TAG = Label("同步", "Sync")
_BODY = ("body_malformed", "body_too_large", "media_type_unsupported")

_PUSH = Operation(
    tag=TAG,
    summary=Label("提交更改，每条得到一个裁决", "Send changes; each gets one verdict"),
    request=PushRequest,
    response=PushResponse,
    codes=("sequence_gap", "sequence_reused", "batch_too_large", "overloaded", *_BODY, *TOKEN_CODES),
    example=examples.PUSH,
    answer_example=examples.PUSH_ANSWER,
    proof=True,
    token=True,
)
_PULL = Operation(
    tag=TAG,
    summary=Label("获取游标之后的更改", "Receive what changed since the cursor"),
    request=PullRequest,
    response=PullResponse,
    codes=("cursor_invalid", "epoch_changed", *_BODY, *TOKEN_CODES),
    example=examples.PULL,
    answer_example=examples.PULL_ANSWER,
    proof=True,
    token=True,
)


def sync_routes(
    gate: Gate, store: Store, registry: Registry, queue: PushQueue, max_batch: int, now_ms: Milliseconds
) -> list[HTTPRouteHandler]:
    """The routes of sync."""
    push_body = Body(PushRequest)
    pull_body = Body(PullRequest)

    @post("/v1/push", status_code=200, opt=described(_PUSH))
    async def push_changes(request: AnyRequest) -> Response[bytes]:
        who = await gate.identify(request)
        changes = (await push_body.read(request)).changes
        if len(changes) > max_batch:
            raise SyncError("batch_too_large", f"{len(changes)} changes; at most {max_batch} are taken")
        as_json = body_wire(request) is Wire.JSON
        if as_json:
            changes = changes_from_json(changes)
        return answer(request, await queue.submit(who.actor, changes, as_json=as_json))

    @post("/v1/pull", status_code=200, opt=described(_PULL))
    async def pull_page(request: AnyRequest) -> Response[bytes]:
        who = await gate.identify(request)
        wanted = await pull_body.read(request)
        async with store.reading() as tx:
            page = await pull(tx, registry, who.actor, wanted, now_ms())
        return answer(request, page_for_json(page) if answer_wire(request) is Wire.JSON else page)

    return [push_changes, pull_page]
