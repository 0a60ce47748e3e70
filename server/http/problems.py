"""Errors as RFC 9457 problems: the one table from codes to statuses, and the handlers of exceptions."""

from typing import Any, TypeAlias

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap
from sqlalchemy.exc import TimeoutError as NoConnection

from field_schemas.codes import CODES
from media import tus
from media.errors import AtOffset, MediaError, OutsideRange
from server.http.messages import Problem
from server.storage.room import says_no_room
from sync.clock import Milliseconds
from sync.compression import Coding
from sync.errors import ChangeUnknown, SequenceError, SyncError

PROBLEM_JSON = "application/problem+json"
CODE_URN = "urn:gridwalk:code:"

# Chosen by how clients retry: 401 after new tokens or a new proof, 409 after catching up, 429 and 503 later, others
# never.
STATUS: dict[str, int] = {
    "body_malformed": 400,
    "checksum_unsupported": 400,
    "digest_unsupported": 400,
    "media_empty": 400,
    "upload_header_invalid": 400,
    "upload_unfinished": 400,
    "cursor_invalid": 400,
    "id_invalid": 400,
    "parameter_invalid": 400,
    "password_weak": 400,
    "credentials_wrong": 401,
    "token_missing": 401,
    "token_expired": 401,
    "token_invalid": 401,
    "token_reused": 401,
    "proof_invalid": 401,
    "proof_stale": 401,
    "account_locked": 403,
    "account_disabled": 403,
    "device_revoked": 403,
    "scope_denied": 403,
    "role_denied": 403,
    "link_invalid": 403,
    "upload_final": 403,
    "not_found": 404,
    "media_unknown": 404,
    "upload_unknown": 404,
    "record_unknown": 404,
    "type_unknown": 404,
    "user_unknown": 404,
    "device_unknown": 404,
    "method_not_allowed": 405,
    "body_stalled": 408,
    "change_unknown": 409,
    "cursor_expired": 409,
    "device_taken": 409,
    "duties_separate": 409,
    "epoch_changed": 409,
    "sequence_gap": 409,
    "sequence_reused": 409,
    "user_taken": 409,
    "offset_mismatch": 409,
    "upload_superseded": 409,
    "upload_gone": 410,
    "tus_version_unsupported": 412,
    "body_too_large": 413,
    "batch_too_large": 413,
    "upload_overrun": 413,
    "upload_too_large": 413,
    "media_type_unsupported": 415,
    "chunk_type_wrong": 415,
    "media_refused": 415,
    "range_invalid": 416,
    "receipt_invalid": 422,
    "picture_unavailable": 422,
    "digest_mismatch": 422,
    "upload_busy": 423,
    "client_too_old": 426,
    "too_many_requests": 429,
    "quota_exceeded": 429,
    "headers_too_large": 431,
    # tus 1.0.0 has a status of its own for this.
    "checksum_mismatch": 460,
    "internal": 500,
    "overloaded": 503,
    "server_behind": 503,
    "storage_unavailable": 503,
    "storage_full": 507,
}
_CODE_OF_STATUS = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "media_type_unsupported"}
_RETRY_AFTER_S = {
    "overloaded": "1",
    "quota_exceeded": "3600",
    "server_behind": "30",
    "storage_full": "60",
    "storage_unavailable": "30",
    "upload_busy": "1",
}

_log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode
AnyRequest: TypeAlias = Request[Any, Any, Any]


def preferred_language(accept_language: str) -> str:
    """The language asked for most; Chinese where none is named."""
    ranked: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept_language.split(",")):
        tag, _, quality = part.strip().partition(";q=")
        try:
            ranked.append((-float(quality or 1), place, tag))
        except ValueError:
            continue
    tag = min(ranked)[2] if ranked else ""
    return "zh" if tag in ("", "*") else tag


def problem_of(error: SyncError | MediaError, language: str, now_ms: int) -> Problem:
    """The problem that tells a client of `error`."""
    code = CODES[error.code]
    return Problem(
        type=CODE_URN + code.name,
        title=code.title.text(language),
        status=STATUS[code.name],
        detail=error.detail.encode("utf-8", "replace").decode(),
        code=code.name,
        advice=code.advice.text(language),
        server_ms=now_ms,
        expected=error.expected if isinstance(error, SequenceError) else None,
        change=error.change if isinstance(error, ChangeUnknown) else None,
    )


def exception_handlers(now_ms: Milliseconds) -> ExceptionHandlersMap:
    """How every exception that leaves a handler becomes a problem."""

    def answer(request: AnyRequest, error: SyncError | MediaError) -> Response[bytes]:
        problem = problem_of(error, preferred_language(request.headers.get("accept-language", "")), now_ms())
        return Response(
            _encode(problem),
            status_code=problem.status,
            media_type=PROBLEM_JSON,
            headers=_headers(problem.status, error),
        )

    def on_http(request: AnyRequest, error: HTTPException) -> Response[bytes]:
        if error.status_code >= 500:
            return on_unexpected(request, error)
        code = _CODE_OF_STATUS.get(error.status_code, "parameter_invalid")
        return answer(request, SyncError(code, error.detail))

    def on_unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
        if says_no_room(error):
            _log.error("storage_full", path=request.scope["path"], error=str(error))
            return answer(request, SyncError("storage_full", "the database has no room"))
        _log.error("unexpected", path=request.scope["path"], exc_info=error)
        return answer(request, SyncError("internal", "the server's log says more"))

    def on_no_connection(request: AnyRequest, _: NoConnection) -> Response[bytes]:
        return answer(request, SyncError("overloaded", "the database is too busy"))

    return {
        SyncError: answer,
        MediaError: answer,
        HTTPException: on_http,
        NoConnection: on_no_connection,
        Exception: on_unexpected,
    }


def _headers(status: int, error: SyncError | MediaError) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": 'DPoP algs="EdDSA"'}
    if status == 415:
        return {"Accept-Encoding": ", ".join(Coding)}
    if error.code in _RETRY_AFTER_S:
        return {"Retry-After": _RETRY_AFTER_S[error.code]}
    if status == 408:
        return {"Connection": "close"}
    if status == 412:
        return {"Tus-Version": tus.VERSION}
    if isinstance(error, AtOffset):
        return {"Upload-Offset": str(error.offset)}
    if isinstance(error, OutsideRange):
        return {"Content-Range": f"bytes */{error.size}"}
    return {}
