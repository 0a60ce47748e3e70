"""What a server's answer is: read within bounds, and the errors of the device that it may tell."""

import contextlib
from typing import NamedTuple, TypeVar

import httpx
import msgspec

from client_sdk.errors import DeviceError, Offline, Rejected, SignInNeeded, TooOld
from client_sdk.wire import Problem
from sync.compression import decompressed
from sync.errors import SyncError

T = TypeVar("T")
_problem = msgspec.json.Decoder(Problem).decode
_SESSION_OVER = frozenset({"token_missing", "token_invalid", "token_reused", "token_expired", "device_revoked"})
MAX_ANSWER_BYTES = 64 * 2**20
"""What an answer may hold, unpacked; pages are far smaller."""
_LATER = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)


class Answer(NamedTuple):
    """A successful answer's body and headers, and the ms from asking to answer."""

    body: bytes
    round_trip_ms: int
    headers: httpx.Headers


class StaleProof(Rejected):
    """The proof's time was too far off; the clock has been set since."""


def decoded(answer: Answer, kind: type[T]) -> T:
    """The message that an answer is. Raises Offline."""
    try:
        return msgspec.msgpack.decode(answer.body, type=kind)
    except msgspec.MsgspecError as error:
        # What answers so is no Gridwalk server: a captive portal, a broken proxy.
        raise Offline(f"the answer cannot be read: {error}") from error


async def read_off(response: httpx.Response) -> bytes:
    """The body as it travelled: httpx would unpack it without a bound. Raises Offline."""
    raw = bytearray()
    try:
        if not isinstance(response.stream, httpx.AsyncByteStream):
            raise TypeError("a transport for AsyncClient gives asynchronous streams")
        async for part in response.stream:
            raw += part
            if len(raw) > MAX_ANSWER_BYTES:
                raise Offline(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    finally:
        await response.aclose()
    return bytes(raw)


def unpacked(response: httpx.Response, raw: bytes) -> httpx.Response:
    """The answer with its body as it was before it travelled. Raises Offline."""
    headers = response.headers.copy()
    try:
        content = decompressed(raw, headers.pop("content-encoding", ""), MAX_ANSWER_BYTES)
    except SyncError as error:
        raise Offline(f"the answer cannot be read: {error.detail}") from error
    return httpx.Response(response.status_code, headers=headers, content=content)


def problem_of(response: httpx.Response) -> Problem:
    """The problem that an answer tells of; one without a code where it is none of Gridwalk's."""
    with contextlib.suppress(msgspec.MsgspecError):
        if response.headers.get("content-type", "").startswith("application/problem+json"):
            return _problem(response.content)
    return Problem("")


def error_of(problem: Problem, response: httpx.Response) -> DeviceError:
    """The error that a problem is on the device."""
    code, detail = problem.code, problem.detail or problem.title
    if not code or response.status_code in _LATER or response.is_server_error:
        return Offline(f"{response.status_code} {code} {detail}", _retry_after(response), code)
    if code == "proof_stale":
        return StaleProof(code, detail)
    if response.status_code == httpx.codes.UNAUTHORIZED and code in _SESSION_OVER:
        return SignInNeeded(code, detail)
    if code == "client_too_old":
        return TooOld(code, detail)
    return Rejected(code, detail, problem.expected, problem.change)


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None
