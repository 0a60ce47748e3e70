"""What a device asks of its server: the messages of the protocol, a method each."""

import uuid
from collections.abc import AsyncGenerator, Mapping

import httpx

from client_sdk.answers import decoded
from client_sdk.errors import Offline
from client_sdk.identity import Identity
from client_sdk.signed import SignedCalls, encode
from client_sdk.wire import Credentials, EnrolledDevice, Me, MediaLink, PublishRequest, SessionResponse
from sync.messages import (
    DigestRequest,
    DigestResponse,
    FetchRequest,
    FetchResponse,
    HistoryResponse,
    PullRequest,
    PullResponse,
    PushRequest,
    PushResponse,
    ReceiptRequest,
    ReceiptResponse,
    SnapshotRequest,
    SnapshotResponse,
)

_PIECE = 262_144
# The server says something each 25 seconds, if only that it is there.
_LINE_TIMEOUT = httpx.Timeout(60.0, connect=10.0)


class Connection:
    """Talks to one server in the name of one device, by signed `calls`."""

    def __init__(self, calls: SignedCalls) -> None:
        self._calls = calls
        self.traffic = calls.traffic

    async def close(self) -> None:
        """Close the network."""
        await self._calls.close()

    async def sign_in(self, identity: Identity, user: str, password: str, model: str | None) -> SessionResponse:
        """A session for `user` on the device `identity`, which is enrolled if it is new. Raises Rejected, Offline."""
        device = EnrolledDevice(identity.device, identity.public_key, name="gridwalk", model=model)
        body = encode(Credentials(user, password, device))
        return self._calls.read(await self._calls.call("POST", "/v1/sessions", body, identity), SessionResponse)

    async def sign_out(self) -> None:
        """End the session on the server."""
        await self._calls.authorized("DELETE", "/v1/sessions/current")

    async def me(self) -> Me:
        """Who the server says is signed in, with what grants."""
        return self._calls.read(await self._calls.authorized("GET", "/v1/me"), Me)

    async def push(self, request: PushRequest) -> PushResponse:
        """Send changes. Raises Rejected, with `expected` for sequence errors, SignInNeeded, Offline."""
        return self._calls.read(await self._calls.authorized("POST", "/v1/push", encode(request)), PushResponse)

    async def pull(self, request: PullRequest) -> PullResponse:
        """Ask for a page. Raises as `push`."""
        return self._calls.read(await self._calls.authorized("POST", "/v1/pull", encode(request)), PullResponse)

    async def snapshot(self, request: SnapshotRequest) -> SnapshotResponse:
        """Ask for a snapshot. Raises as `push`."""
        return decoded(await self._calls.authorized("POST", "/v1/snapshots", encode(request)), SnapshotResponse)

    async def snapshot_content(self, snapshot: str, start: int) -> AsyncGenerator[bytes, None]:
        """A snapshot's content from byte `start` on, as it arrives. Raises as `push`."""
        more = {"Range": f"bytes={start}-", "Accept": "application/octet-stream", "Accept-Encoding": "identity"}
        async with self._calls.streamed(f"/v1/snapshots/{snapshot}", more) as response:
            # What lies in between may leave out the range; the content then comes from its beginning.
            unasked = 0 if response.status_code == httpx.codes.PARTIAL_CONTENT else start
            async for piece in response.aiter_raw(_PIECE):
                self.traffic.received += len(piece)
                if len(piece) > unasked:
                    yield piece[unasked:]
                unasked = max(0, unasked - len(piece))

    async def digests(self, request: DigestRequest) -> DigestResponse:
        """Ask for the digests of a range. Raises as `push`."""
        return decoded(await self._calls.authorized("POST", "/v1/digests", encode(request)), DigestResponse)

    async def fetch(self, request: FetchRequest) -> FetchResponse:
        """Ask for records by id. Raises as `push`."""
        return decoded(await self._calls.authorized("POST", "/v1/records/fetch", encode(request)), FetchResponse)

    async def history(self, record: uuid.UUID) -> HistoryResponse:
        """Ask for the history of a record. Raises as `push`; Rejected `record_unknown`."""
        return decoded(await self._calls.authorized("GET", f"/v1/records/{record}/history"), HistoryResponse)

    async def receipt(self, request: ReceiptRequest) -> ReceiptResponse:
        """Ask for a receipt. Raises as `push`; Rejected `change_unknown`, `receipt_invalid`."""
        return decoded(await self._calls.authorized("POST", "/v1/receipts", encode(request)), ReceiptResponse)

    async def create_upload(self, headers: Mapping[str, str]) -> httpx.Headers:
        """Create an upload by tus, without bytes; the answer's headers. Raises as `push`."""
        return (await self._calls.authorized("POST", "/v1/uploads", more=headers)).headers

    async def upload_headers(self) -> dict[str, str]:
        """The headers by which other clients create uploads in this device's name. Raises as `push`."""
        return await self._calls.headers("POST", "/v1/uploads")

    async def media_link(self, digest: str, size: str | None) -> MediaLink:
        """Ask for a link to media, of a `size` the server makes, or None. Raises as `push`; `media_unknown`."""
        query = "" if size is None else f"?size={size}"
        return decoded(await self._calls.authorized("GET", f"/v1/media/{digest}{query}"), MediaLink)

    async def publish_media(self, digest: str, request: PublishRequest) -> MediaLink:
        """Have a picture for the public made. Raises as `push`; `role_denied`, `picture_unavailable`."""
        return decoded(
            await self._calls.authorized("POST", f"/v1/media/{digest}/publications", encode(request)), MediaLink
        )

    async def pokes(self) -> AsyncGenerator[None, None]:
        """The server's pokes as they come, the first at once. Raises as `push`, and Offline when the line ends, with
        the time after which the server wants to be called again."""
        comeback_s = None
        async with self._calls.streamed("/v1/live", {"Accept": "text/event-stream"}, _LINE_TIMEOUT) as response:
            async for line in response.aiter_lines():
                self.traffic.received += len(line) + 1
                name, _, value = line.partition(": ")
                if (name, value) == ("event", "poke"):
                    yield
                elif name == "retry" and value.isdigit():
                    comeback_s = int(value) / 1000
        raise Offline("the line has ended", comeback_s)
