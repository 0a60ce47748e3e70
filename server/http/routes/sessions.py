"""Signing in, refreshing, signing out, and who I am."""

import msgspec
from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler

from field_schemas.labels import Label
from field_schemas.media import DigestName
from media.thresholds import Thresholds
from server.accounts.proofs import decode_key
from server.accounts.sessions import Enrolment, Sessions, TokenPair
from server.http import examples
from server.http.authentication import Gate
from server.http.described import Operation, described
from server.http.messages import Me, NewDevice, RefreshRequest, SessionResponse, SignInRequest
from server.http.negotiation import BODY_CODES, AnyRequest, Body, answer
from sync.clock import Milliseconds
from sync.errors import SyncError
from sync.storage import Store

TAG = Label("会话", "Sessions")
_PROOF = ("proof_invalid", "proof_stale")
REVOKED_TOO_CODES = ("token_missing", "token_invalid", "token_expired", *_PROOF, "account_disabled")
TOKEN_CODES = (*REVOKED_TOO_CODES, "device_revoked")

_SIGN_IN = Operation(
    tag=TAG,
    summary=Label("登录并注册设备", "Sign in and enrol the device"),
    status=201,
    request=SignInRequest,
    response=SessionResponse,
    codes=(
        "credentials_wrong",
        "account_locked",
        "account_disabled",
        "device_taken",
        *_PROOF,
        *BODY_CODES,
    ),
    example=examples.SIGN_IN,
    answer_example=examples.SESSION,
    proof=True,
)
_REFRESH = Operation(
    tag=TAG,
    summary=Label("换取新令牌", "Exchange the refresh token for new tokens"),
    request=RefreshRequest,
    response=SessionResponse,
    codes=("token_invalid", "token_reused", "account_disabled", *_PROOF, *BODY_CODES),
    example=examples.REFRESH,
    answer_example=examples.SESSION,
    proof=True,
)
_SIGN_OUT = Operation(
    tag=TAG, summary=Label("退出登录", "Sign out"), status=204, codes=REVOKED_TOO_CODES, proof=True, token=True
)
_LARGEST = 16_384
"""Bytes of a body that anybody may send."""
_ME = Operation(
    tag=TAG,
    summary=Label("当前用户、设备与授权", "Who is signed in, and what they may do"),
    response=Me,
    codes=TOKEN_CODES,
    answer_example=examples.ME,
    proof=True,
    token=True,
)


class ServerFacts(msgspec.Struct, frozen=True):
    """What a session tells of the server: the life of its access tokens, the key that verifies its receipts (as in
    SessionResponse), by which digest it keeps media, and by which thresholds it checks that."""

    access_token_s: int
    server_key: str
    media_digest: DigestName
    thresholds: Thresholds


def session_routes(
    gate: Gate, sessions: Sessions, store: Store, facts: ServerFacts, now_ms: Milliseconds
) -> list[HTTPRouteHandler]:
    """The routes of sessions."""
    sign_in_body = Body(SignInRequest)
    refresh_body = Body(RefreshRequest)

    async def response_of(pair: TokenPair) -> SessionResponse:
        async with store.reading() as tx:
            epoch = await tx.epoch()
        who = pair.identity
        return SessionResponse(
            user=who.user,
            display_name=who.display_name,
            device=who.device,
            access_token=pair.access_token,
            expires_in=facts.access_token_s,
            refresh_token=pair.refresh_token,
            grants=who.grants,
            server_ms=now_ms(),
            epoch=epoch,
            server_key=facts.server_key,
            media_digest=facts.media_digest,
            thresholds=facts.thresholds,
        )

    @post("/v1/sessions", opt=described(_SIGN_IN), request_max_body_size=_LARGEST)
    async def sign_in(request: AnyRequest) -> Response[bytes]:
        key = gate.proof_key(request)
        body = await sign_in_body.read(request)
        pair = await sessions.sign_in(body.user, body.password, _enrolment(body.device, key))
        return answer(request, await response_of(pair), 201)

    @post("/v1/sessions/refresh", status_code=200, opt=described(_REFRESH), request_max_body_size=_LARGEST)
    async def refresh(request: AnyRequest) -> Response[bytes]:
        key = gate.proof_key(request)
        body = await refresh_body.read(request)
        return answer(request, await response_of(await sessions.refresh(body.refresh_token, key)))

    @delete("/v1/sessions/current", opt=described(_SIGN_OUT))
    async def sign_out(request: AnyRequest) -> None:
        who = await gate.identify(request, revoked_too=True)
        await sessions.sign_out(who.session)

    @get("/v1/me", opt=described(_ME))
    async def me(request: AnyRequest) -> Response[bytes]:
        who = await gate.identify(request)
        return answer(request, Me(who.user, who.display_name, who.device, who.grants, now_ms(), facts.server_key))

    return [sign_in, refresh, sign_out, me]


def _enrolment(device: NewDevice, key: bytes) -> Enrolment:
    if decode_key(device.public_key) != key:
        raise SyncError("proof_invalid", "the proof is signed by another key than the device's")
    return Enrolment(device.id, key, device.name, device.model)
