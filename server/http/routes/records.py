"""Records one by one: their history; and copies of them proven equal to the server's, and repaired."""

import uuid

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from field_schemas.labels import Label
from field_schemas.registry import Registry
from server.http import examples
from server.http.authentication import Gate
from server.http.described import Operation, described
from server.http.negotiation import BODY_CODES, AnyRequest, Body, Wire, answer, answer_wire
from server.http.routes.sessions import TOKEN_CODES
from server.http.transcoding import fetched_for_json, history_for_json
from sync.clock import Milliseconds
from sync.errors import SyncError
from sync.history import history
from sync.messages import DigestRequest, DigestResponse, FetchRequest, FetchResponse, HistoryResponse
from sync.storage import Store
from sync.verify import digest, fetch

TAG = Label("记录", "Records")

_DIGESTS = Operation(
    tag=TAG,
    summary=Label("一个范围内可见记录的摘要", "Digests of what the reader may see in a scope, range by range"),
    request=DigestRequest,
    response=DigestResponse,
    codes=("scope_denied", *BODY_CODES, *TOKEN_CODES),
    example=examples.DIGESTS,
    answer_example=examples.DIGESTS_ANSWER,
    proof=True,
    token=True,
)
_FETCH = Operation(
    tag=TAG,
    summary=Label("按编号获取记录", "Some records by id"),
    request=FetchRequest,
    response=FetchResponse,
    codes=(*BODY_CODES, *TOKEN_CODES),
    example=examples.FETCH,
    answer_example=examples.FETCH_ANSWER,
    proof=True,
    token=True,
)
_HISTORY = Operation(
    tag=TAG,
    summary=Label("一条记录的全部更改及其裁决", "Every change ever sent for a record, with its verdict"),
    response=HistoryResponse,
    codes=("record_unknown", "parameter_invalid", *TOKEN_CODES),
    answer_example=examples.HISTORY,
    proof=True,
    token=True,
)


def record_routes(gate: Gate, store: Store, registry: Registry, now_ms: Milliseconds) -> list[HTTPRouteHandler]:
    """The routes of single records and of copies."""
    digest_body = Body(DigestRequest)
    fetch_body = Body(FetchRequest)

    @post("/v1/digests", status_code=200, opt=described(_DIGESTS))
    async def digests(request: AnyRequest) -> Response[bytes]:
        who, wanted = await gate.read(request, digest_body)
        async with store.reading() as tx:
            return answer(request, await digest(tx, registry, who.actor, wanted, now_ms()))

    @post("/v1/records/fetch", status_code=200, opt=described(_FETCH))
    async def fetch_records(request: AnyRequest) -> Response[bytes]:
        who, wanted = await gate.read(request, fetch_body)
        async with store.reading() as tx:
            found = await fetch(tx, registry, who.actor, wanted, now_ms())
        return answer(request, fetched_for_json(found) if answer_wire(request) is Wire.JSON else found)

    @get("/v1/records/{record:str}/history", opt=described(_HISTORY))
    async def record_history(request: AnyRequest, record: FromPath[str]) -> Response[bytes]:
        who = await gate.identify(request)
        record_id = _id_of(record)
        async with store.reading() as tx:
            found = await history(tx, registry, who.actor, record_id, now_ms())
        return answer(request, history_for_json(found) if answer_wire(request) is Wire.JSON else found)

    return [digests, fetch_records, record_history]


def _id_of(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise SyncError("parameter_invalid", f"{text!r} is no record id (UUID)") from error
