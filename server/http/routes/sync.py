"""Push and pull."""

from typing import NamedTuple

import msgspec
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
from server.media.references import References
from sync.clock import Milliseconds
from sync.cursor import Cursor
from sync.errors import ContentsSetBack, SyncError
from sync.messages import PullRequest, PullResponse, PushRequest, PushResponse
from sync.pull import pull
from sync.storage import FeedPosition, Store
from sync.stretch import Stretches

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
        "epoch_changed",
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


class PullBounds(NamedTuple):
    """Clients older than `min_protocol` get nothing; a street of `snapshot_from` entries comes as a snapshot."""

    min_protocol: int
    snapshot_from: int


class Reading:
    """Pulls for devices, and notes what each held when it asked."""

    def __init__(
        self, store: Store, registry: Registry, devices: Devices, bounds: PullBounds, now_ms: Milliseconds
    ) -> None:
        self._store = store
        self._registry = registry
        self._devices = devices
        self._bounds = bounds
        self._now_ms = now_ms
        self._stretches = Stretches()
        self._horizon = FeedPosition()

    async def page(self, request: AnyRequest, who: Identity, wanted: PullRequest) -> PullResponse:
        """The page in the encoding of the answer. Raises SyncError `client_too_old`, and as `pull`."""
        if wanted.protocol < self._bounds.min_protocol:
            detail = f"protocol {wanted.protocol}; at least {self._bounds.min_protocol} is needed"
            raise SyncError("client_too_old", detail)
        async with self._store.reading() as tx:
            # An older transaction may come to this later than a younger one.
            self._horizon = max(self._horizon, await tx.horizon())
            try:
                page = await pull(
                    tx, self._registry, who.actor, wanted, self._now_ms(), self._bounds.snapshot_from, self._stretches
                )
            except ContentsSetBack as error:
                self._horizon = FeedPosition()
                raise _told(error, who) from None
        return page_for_json(page) if answer_wire(request) is Wire.JSON else page

    async def check(self, who: Identity, wanted: PullRequest | None) -> None:
        """Raise ContentsSetBack where a device that is about to write has read further than there is anything: what
        it writes would hide that."""
        if wanted is None or wanted.cursor is None:
            return
        try:
            cursor = Cursor.decode(wanted.cursor)
        except SyncError:
            # The pull will say so; what was written does not depend on it.
            return
        # What this process has seen by itself need not be asked for.
        if cursor.furthest > self._horizon:
            async with self._store.reading() as tx:
                horizon, epoch = await tx.horizon(), await tx.epoch()
            self._horizon = max(self._horizon, horizon)
            if cursor.epoch != epoch:
                return
            try:
                cursor.check(horizon)
            except ContentsSetBack as error:
                raise _told(error, who) from None

    async def page_along(self, request: AnyRequest, who: Identity, wanted: PullRequest) -> PullResponse | None:
        """The page, or None where there is none to give: the work was taken, and a pull will tell the reason."""
        try:
            return None if who.revoked else await self.page(request, who, wanted)
        except SyncError:
            return None

    def noting(self, response: Response[bytes], who: Identity, wanted: PullRequest) -> Response[bytes]:
        """`response`, after which it is noted what the device held, if that is due."""
        if noting_due(who.seen_ms, self._now_ms()):
            response.background = BackgroundTask(_note_read, self._devices, who, wanted.cursor)
        return response


def _told(error: ContentsSetBack, who: Identity) -> ContentsSetBack:
    """The error, which whoever runs the server is to know of."""
    _log.error("contents_set_back", device=str(who.device), what=error.detail, do="gridwalk renew-epoch")
    return error


def push_routes(
    gate: Gate, queue: PushQueue, references: References, max_batch: int, reading: Reading
) -> list[HTTPRouteHandler]:
    """The routes by which devices hand in their work; revoked ones too."""
    push_body = Body(PushRequest)

    @post("/v1/push", status_code=200, opt=described(_PUSH))
    async def push_changes(request: AnyRequest) -> Response[bytes]:
        who, wanted = await gate.read(request, push_body, revoked_too=True)
        changes = wanted.changes
        if len(changes) > max_batch:
            raise SyncError("batch_too_large", f"{len(changes)} changes; at most {max_batch} are taken")
        await reading.check(who, wanted.pull)
        as_json = body_wire(request) is Wire.JSON
        if as_json:
            changes = changes_from_json(changes)
        await references.note_pushed(who.user, changes, as_json=as_json)
        pushed = await queue.submit(who.actor, changes, as_json=as_json, epoch=wanted.epoch)
        await references.note_decided(changes)
        if wanted.pull is None:
            return answer(request, pushed)
        page = await reading.page_along(request, who, wanted.pull)
        response = answer(request, msgspec.structs.replace(pushed, page=page))
        return response if page is None else reading.noting(response, who, wanted.pull)

    return [push_changes]


def pull_routes(gate: Gate, reading: Reading) -> list[HTTPRouteHandler]:
    """The routes by which devices receive what changed."""
    pull_body = Body(PullRequest)

    @post("/v1/pull", status_code=200, opt=described(_PULL))
    async def pull_page(request: AnyRequest) -> Response[bytes]:
        who, wanted = await gate.read(request, pull_body)
        return reading.noting(answer(request, await reading.page(request, who, wanted)), who, wanted)

    return [pull_page]


async def _note_read(devices: Devices, who: Identity, cursor: str | None) -> None:
    """Note what the device held when it asked. It has its answer already: a failure is only logged."""
    views = Cursor.decode(cursor).views.values() if cursor else ()
    try:
        await devices.note_read(who.device, min((view.position for view in views), default=FeedPosition()))
    except (SQLAlchemyError, OSError) as error:
        _log.warning("read_not_noted", device=str(who.device), error=repr(error))
