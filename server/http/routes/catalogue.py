"""What the server knows: record types and codes. Public."""

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from field_schemas.codes import CODES
from field_schemas.json_schema import json_schema
from field_schemas.labels import Label
from field_schemas.record import FieldError
from field_schemas.registry import Registry
from server.http.described import Operation, described
from server.http.messages import CodeRow, Codes, RecordTypes, RecordTypeSummary
from server.http.negotiation import AnyRequest, answer
from server.http.problems import STATUS
from sync.errors import SyncError

TAG = Label("记录类型与代码", "Record types and codes")
SCHEMA_JSON = "application/schema+json"

_LIST = Operation(tag=TAG, summary=Label("记录类型列表", "All record types"), response=RecordTypes)
_ONE = Operation(
    tag=TAG,
    summary=Label("一个记录类型的 JSON Schema", "The JSON Schema of a record type"),
    response=dict,
    codes=("type_unknown",),
)
_CODES = Operation(tag=TAG, summary=Label("代码目录", "The catalogue of codes"), response=Codes)


def catalogue_routes(registry: Registry) -> list[HTTPRouteHandler]:
    """The routes of the catalogue."""
    types = RecordTypes(
        [
            RecordTypeSummary(spec.name, spec.version, spec.label, f"/v1/record-types/{spec.name}")
            for spec in sorted(registry, key=lambda spec: spec.name)
        ]
    )
    codes = Codes([CodeRow(code.name, code.title, code.advice, STATUS.get(code.name)) for code in CODES.values()])

    @get("/v1/record-types", opt=described(_LIST))
    async def record_types(request: AnyRequest) -> Response[bytes]:
        return answer(request, types)

    @get("/v1/record-types/{name:str}", opt=described(_ONE))
    async def record_type(name: FromPath[str]) -> Response[bytes]:
        try:
            spec = registry.get(name)
        except FieldError as error:
            raise SyncError(error.code, error.detail) from error
        return Response(msgspec.json.encode(json_schema(spec)), media_type=SCHEMA_JSON)

    @get("/v1/codes", opt=described(_CODES))
    async def code_list(request: AnyRequest) -> Response[bytes]:
        return answer(request, codes)

    return [record_types, record_type, code_list]
