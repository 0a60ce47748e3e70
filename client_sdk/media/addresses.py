"""Calls to addresses that are keys by themselves: uploads and links. No token, no proof, connections of their own."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
import msgspec

from client_sdk.answers import error_of, problem_of
from client_sdk.connection import Connection
from client_sdk.errors import Offline, Rejected
from client_sdk.store.media import QueuedMedia
from client_sdk.store.media_files import size_of
from client_sdk.store.unusable import machine_errors
from client_sdk.wire import MediaLink, UploadStatus

_TUS = {"Tus-Resumable": "1.0.0"}
_CHUNK = "application/offset+octet-stream"
_PIECE = 64 * 1024
# A write or read without a sign of life for so long is a dead connection, however slow the network.
_TIMEOUT = httpx.Timeout(20.0, connect=10.0)


class Addresses:
    """Uploads by tus 1.0.0 and downloads by link, one connection for all."""

    def __init__(self, server: str, transport: httpx.AsyncBaseTransport | None, connection: Connection) -> None:
        self._http = httpx.AsyncClient(base_url=server, transport=transport, timeout=_TIMEOUT)
        self._connection = connection

    async def close(self) -> None:
        """Close the network."""
        await self._http.aclose()

    async def create(self, item: QueuedMedia, *, freed: bool) -> tuple[str, int]:
        """The address of a new upload, and how many bytes the server has already: all, where it knows the digest.

        `freed`: this device has them no more and only asks.

        Raises Rejected (`upload_too_large`, `digest_unsupported`, ...), SignInNeeded, Offline (`quota_exceeded`...).
        """
        algorithm, _, digest = item.digest.partition(":")
        named = {algorithm: digest, "filename": item.name, "freed": "yes" if freed else ""}
        pairs = [f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in named.items() if value]
        headers = {"Upload-Length": str(item.size), "Upload-Metadata": ",".join(pairs), "Content-Type": _CHUNK}
        answer = await self._connection.create_upload(_TUS | headers)
        return answer.get("location", ""), _number(answer)

    async def offset(self, url: str) -> int:
        """How many bytes the server holds; whatever still sent to the upload gives way. Raises as `create`."""
        try:
            answer = await self._http.head(url, headers=_TUS)
        except httpx.RequestError as error:
            raise Offline(f"{type(error).__name__}: {error}") from error
        if not answer.is_success:
            # Its body would have said why.
            found = await self.status(url)
            if found.code is not None:
                raise Rejected(found.code, found.detail or "")
            if answer.status_code == httpx.codes.LOCKED:
                raise Rejected("upload_busy", f"{found.offset} bytes are held")
            raise Offline(f"{answer.status_code} where {found.offset} bytes are held")
        return _number(answer.headers)

    async def send(self, url: str, file: Path, offset: int, size: int) -> int:
        """Send `size` bytes of the file from `offset` on; how many the server holds then. Raises as `create`."""
        headers = {"Upload-Offset": str(offset), "Content-Type": _CHUNK, "Content-Length": str(size)}
        return _number((await self._call("PATCH", url, _TUS | headers, _pieces(file, offset, size))).headers)

    async def status(self, url: str) -> UploadStatus:
        """What the server says of the upload. Raises as `create`."""
        answer = await self._call("GET", url, {"Accept": "application/json"})
        try:
            return msgspec.json.decode(answer.content, type=UploadStatus)
        except msgspec.MsgspecError as error:
            raise Offline(f"the answer cannot be read: {error}") from error

    async def download(self, link: MediaLink, target: Path) -> None:
        """Bring the file that a link promises, going on from what `target` holds already. Raises as `create`."""
        begun = await asyncio.to_thread(size_of, target)
        headers = {"Range": f"bytes={begun}-", "If-Range": f'"{link.digest}"'} if begun else {}
        try:
            async with self._http.stream("GET", link.url, headers=headers) as answer:
                if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and begun:
                    return
                if not answer.is_success:
                    await answer.aread()
                    raise error_of(problem_of(answer), answer)
                goes_on = answer.status_code == httpx.codes.PARTIAL_CONTENT
                with machine_errors(target), target.open("ab" if goes_on else "wb") as file:
                    async for piece in answer.aiter_bytes(_PIECE):
                        file.write(piece)
        except httpx.RequestError as error:
            raise Offline(f"{type(error).__name__}: {error}") from error

    async def _call(
        self, method: str, url: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None = None
    ) -> httpx.Response:
        try:
            answer = await self._http.request(method, url, headers=headers, content=body)
        except httpx.RequestError as error:
            raise Offline(f"{type(error).__name__}: {error}") from error
        if not answer.is_success:
            raise error_of(problem_of(answer), answer)
        return answer


async def _pieces(path: Path, offset: int, size: int) -> AsyncIterator[bytes]:
    """Part of a file, piece by piece: the timeout is for each of them."""
    with path.open("rb") as file:
        file.seek(offset)
        while size and (piece := file.read(min(size, _PIECE))):
            size -= len(piece)
            yield piece


def _number(headers: httpx.Headers) -> int:
    value = headers.get("upload-offset", "")
    if not value.isdigit():
        # What answers so is no Gridwalk server: a captive portal, a broken proxy.
        raise Offline("the answer does not tell the offset")
    return int(value)
