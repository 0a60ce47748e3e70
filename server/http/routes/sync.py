"""Push and pull."""

import structlog
from litestar import Response, post
from litestar.background_tasks import BackgroundTask
from litestar.handlers import HTTPRouteHandler
from sqlalchemy.exc import SQLAlchemyError

from field_schemas.labels import Label
from field_schemas.registry import Registry
from server.accounts.devices import Devices, noting_due
from server.accounts.identities import Identity
from server.group_commit import PushQueue
from server.http import examples
from server.http.authentication import Gate
from server.http.described import Operation, described
from server.http.negotiation import BODY_CODES, AnyRequest, Body, Wire, answer, answer_wire, body_wire
from server.http.routes.sessions import REVOKED_TOO_CODES, TOKEN_CODES
from server.http.transcoding import changes_from_json, page_for_json
from sync.clock import Milliseconds
from sync.cursor import Cursor
from sync.errors import SyncError
from sync.messages import PullRequest, PullResponse, PushRequest, PushResponse
from sync.pull import pull
from sync.storage import FeedPosition, Store

TAG = Label("同步", "Sync")
_log = structlog.get_logger(__name__)

_PUSH = Operation(
    tag=TAG,
    summary=Label("提交更改，每条得到一个裁决", "Send changes; each gets one verdict"),
    request=PushRequest,
    response=PushResponse,
    codes=(
        "sequence_gap",
        "sequence_reused",
        "id_invalid",
        "batch_too_large",
        "overloaded",
        *BODY_CODES,
        *REVOKED_TOO_CODES,
    ),
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
    codes=("cursor_invalid", "epoch_changed", "cursor_expired", "client_too_old", *BODY_CODES, *TOKEN_CODES),
    example=examples.PULL,
    answer_example=examples.PULL_ANSWER,
    proof=True,
    token=True,
)


def push_routes(gate: Gate, queue: PushQueue, max_batch: int) -> list[HTTPRouteHandler]:
    """The routes by which devices hand in their work; revoked ones too."""
    push_body = Body(PushRequest)

    @post("/v1/push", status_code=200, opt=described(_PUSH))
    async def push_changes(request: AnyRequest) -> Response[bytes]:
        who = await gate.identify(request, revoked_too=True)
        changes = (await push_body.read(request)).changes
        if len(changes) > max_batch:
            raise SyncError("batch_too_large", f"{len(changes)} changes; at most {max_batch} are taken")
        as_json = body_wire(request) is Wire.JSON
        if as_json:
            changes = changes_from_json(changes)
        return answer(request, await queue.submit(who.actor, changes, as_json=as_json))

    return [push_changes]


def pull_routes(
    gate: Gate, store: Store, registry: Registry, devices: Devices, min_protocol: int, now_ms: Milliseconds
) -> list[HTTPRouteHandler]:
    """The routes by which devices receive what changed; clients older than `min_protocol` do not."""
    pull_body = Body(PullRequest)

    @post("/v1/pull", status_code=200, opt=described(_PULL))
    async def pull_page(request: AnyRequest) -> Response[bytes]:
        who = await gate.identify(request)
        wanted = await pull_body.read(request)
        if wanted.protocol < min_protocol:
            raise SyncError("client_too_old", f"protocol {wanted.protocol}; at least {min_protocol} is needed")
        async with store.reading() as tx:
            page = await pull(tx, registry, who.actor, wanted, now_ms())
        response = answer(request, page_for_json(page) if answer_wire(request) is Wire.JSON else page)
        if noting_due(who.seen_ms, now_ms()):
            response.background = BackgroundTask(_note_read, devices, who, wanted.cursor)
        return response

    return [pull_page]


async def _note_read(devices: Devices, who: Identity, cursor: str | None) -> None:
    """Note what the device held when it asked. It has its answer already: a failure is only logged."""
    views = Cursor.decode(cursor).views.values() if cursor else ()
    try:
        await devices.note_read(who.device, min((view.position for view in views), default=FeedPosition()))
    except (SQLAlchemyError, OSError) as error:
        _log.warning("read_not_noted", device=str(who.device), error=repr(error))
