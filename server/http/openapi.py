"""The API description (OpenAPI 3.1), built from the operations described beside the handlers."""

import functools
import operator
import types
from collections.abc import Iterable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from litestar.handlers import HTTPRouteHandler

from field_schemas.codes import CODES
from server.http.described import OPERATION, Operation
from server.http.messages import Problem
from server.http.negotiation import Wire
from server.http.problems import PROBLEM_JSON, STATUS

_REFERENCE = "#/components/schemas/{name}"
_TITLE = "网格行 Gridwalk"
_ABOUT = (
    "离线优先的网格巡查同步接口。Offline-first records and sync for people who walk a city's grid. "
    "Bodies are JSON or MessagePack by Content-Type and Accept; errors are RFC 9457 problems with a stable `code`."
)
_RAW_MEANS = msgspec.Meta(description="Field name to value or operand; see /v1/record-types.")
_PLAIN = (int, str, bool, type(None))
_HEADERS = {
    "DPoP": {
        "name": "DPoP",
        "in": "header",
        "required": True,
        "description": "RFC 9449 proof: a JWT signed with the device's Ed25519 key, with htm, htu, iat, jti and ath.",
        "schema": {"type": "string"},
    },
    "Language": {
        "name": "Accept-Language",
        "in": "header",
        "description": "Language of error titles and advice: zh (default) or en.",
        "schema": {"type": "string"},
    },
}


def openapi_document(handlers: Iterable[HTTPRouteHandler], version: str) -> dict[str, Any]:
    """The description of `handlers`; those without an `Operation` are left out."""
    operations = [
        (path, method.lower(), handler.opt[OPERATION])
        for handler in handlers
        if OPERATION in handler.opt
        for path in handler.paths
        for method in handler.http_methods
    ]
    paths: dict[str, Any] = {}
    for path, method, operation in operations:
        paths.setdefault(path.replace(":str}", "}"), {})[method] = _operation(path, operation)
    tags = {operation.tag.en: operation.tag for _, _, operation in operations}
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": version, "description": _ABOUT},
        "tags": [{"name": name, "x-label": msgspec.to_builtins(label)} for name, label in tags.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(operation for _, _, operation in operations),
            "parameters": _HEADERS,
            "securitySchemes": {"token": {"type": "http", "scheme": "DPoP"}},
        },
    }


def _operation(path: str, operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tags": [operation.tag.en],
        "summary": operation.summary.en,
        "x-label": msgspec.to_builtins(operation.summary),
        "parameters": [{"$ref": "#/components/parameters/Language"}, *_path_parameters(path)],
        "responses": _responses(operation),
    }
    if operation.proof:
        found["parameters"].insert(0, {"$ref": "#/components/parameters/DPoP"})
    if operation.token:
        found["security"] = [{"token": []}]
    if operation.request is not None:
        found["requestBody"] = {"required": True, "content": _content(operation.request, operation.example)}
    return found


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:].partition(":")[0] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _responses(operation: Operation) -> dict[str, Any]:
    response: dict[str, Any] = {"description": operation.summary.en}
    if operation.response is not None:
        response["content"] = _content(operation.response, operation.answer_example)
    found = {str(operation.status): response}
    for status in sorted({STATUS[code] for code in operation.codes}):
        codes = [code for code in operation.codes if STATUS[code] == status]
        found[str(status)] = {
            "description": "; ".join(f"`{code}`: {CODES[code].title.en} / {CODES[code].title.zh}" for code in codes),
            "x-codes": codes,
            "content": {PROBLEM_JSON: {"schema": {"$ref": _REFERENCE.format(name="Problem")}}},
        }
    return found


def _content(body: Any, example: Any) -> dict[str, Any]:
    if body is dict:
        return {"application/schema+json": {"schema": {"type": "object"}}}
    if body is str:
        return {"text/event-stream": {"schema": {"type": "string"}, "example": example}}
    content: dict[str, Any] = {"schema": {"$ref": _REFERENCE.format(name=body.__name__)}}
    if example is not None:
        content["example"] = example
    return {Wire.JSON.value: content, Wire.MSGPACK.value: {"schema": content["schema"]}}


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    bodies = {Problem} | {
        body
        for operation in operations
        for body in (operation.request, operation.response)
        if body not in (None, dict, str)
    }
    ordered = sorted((documented(body) for body in bodies), key=lambda body: body.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=_REFERENCE)
    return dict(sorted(components.items()))


@functools.cache
def documented(body: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The struct with what is `Raw` in it, whatever the depth, described as the object it is.

    msgspec cannot write a schema of a struct with a default that is Raw.
    """
    hints = get_type_hints(body, include_extras=True)
    told = {name: _documented_hint(hint) for name, hint in hints.items()}
    if told == hints:
        return body
    fields: list[Any] = []
    for info in msgspec.structs.fields(body):
        factory: Any = dict if info.default_factory is msgspec.NODEFAULT else info.default_factory
        default: Any = info.default if isinstance(info.default, _PLAIN) else msgspec.field(default_factory=factory)
        fields.append((info.name, told[info.name]) if info.required else (info.name, told[info.name], default))
    made = msgspec.defstruct(body.__name__, fields, kw_only=True)
    made.__doc__ = body.__doc__
    return made


def _documented_hint(hint: Any) -> Any:
    if hint is msgspec.Raw:
        return Annotated[dict[str, Any], _RAW_MEANS]
    if get_origin(hint) is list:
        (inner,) = get_args(hint)
        return list[_documented_hint(inner)]  # type: ignore[misc]
    if get_origin(hint) is types.UnionType:
        return functools.reduce(operator.or_, map(_documented_hint, get_args(hint)))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return documented(hint)
    return hint
