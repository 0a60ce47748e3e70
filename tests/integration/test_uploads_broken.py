"""Uploads over connections that break and hang, through servers that are killed, and through several at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import accumulate, pairwise
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy.engine import URL

from client_sdk.torture.servers import USER, Servers
from client_sdk.torture.wire import LoadDevice
from tests.integration.http_server import HttpServer
from tests.integration.media import CHUNK, TUS, Sent, digest_of, photo
from tests.postgres import postgres_database
from tests.proxy import Proxy

SIZE = 6 * 1024 * 1024
_PATIENCE_S = 30


def port_of(url: str) -> int:
    """The port of a server's address."""
    return urlsplit(url).port or 0


async def created(device: LoadDevice, base: str, length: int) -> str:
    """The address of a new upload."""
    headers = TUS | {"Upload-Length": str(length)} | device.signature("/v1/uploads")
    async with httpx.AsyncClient(timeout=_PATIENCE_S) as client:
        answer = await client.post(f"{base}/v1/uploads", headers=headers)
    location: str = answer.headers["location"]
    return location


async def offset_of(client: httpx.AsyncClient, url: str) -> int:
    """Where an upload stands."""
    return int((await client.head(url, headers=TUS)).headers["upload-offset"])


async def patch(
    client: httpx.AsyncClient, url: str, offset: int, content: bytes | AsyncIterator[bytes], **headers: str
) -> httpx.Response:
    """Send a chunk."""
    sent = TUS | {"Upload-Offset": str(offset), "Content-Type": CHUNK} | headers
    return await client.patch(url, content=content, headers=sent)


@pytest.fixture
def photo_begun(server: HttpServer) -> tuple[bytes, Sent]:
    """A photo, and an upload for it without bytes."""
    return photo(SIZE), Sent(server.inspector(), SIZE)


async def test_cut_again_and_again(server: HttpServer, photo_begun: tuple[bytes, Sent]) -> None:
    """Over a connection that is cut every megabyte an upload comes through, and a cut costs little of it."""
    content, sent = photo_begun
    cuts = [1_000_000] * 12
    async with Proxy(port_of(server.url), cuts) as proxy, httpx.AsyncClient(timeout=_PATIENCE_S) as direct:
        offsets = [0]
        while offsets[-1] < SIZE and len(offsets) < 14:
            async with httpx.AsyncClient(base_url=proxy.url, timeout=_PATIENCE_S) as client:
                with suppress(httpx.TransportError):
                    await patch(client, sent.url, offsets[-1], content[offsets[-1] :])
            offsets.append(await offset_of(direct, server.url + sent.url))
    assert offsets[-1] == SIZE
    # What the server had not read when the connection broke is lost with it: a few buffers.
    assert all(later - earlier > 400_000 for earlier, later in pairwise(offsets[:-1]))
    assert sent.status()["digest"] == digest_of(content)


@pytest.mark.parametrize("frames", [[1] * 3_000, [70_000] * 5, [300_000, 1, 2] * 4, [1, 100_000, 7, 65_536] * 3])
async def test_a_body_in_pieces_of_any_size(
    server: HttpServer, photo_begun: tuple[bytes, Sent], frames: list[int]
) -> None:
    """However the bytes of a chunk are cut up on the way, they are put together as they were."""
    content, sent = photo_begun
    ends = [0, *accumulate(frames), SIZE]

    async def pieces() -> AsyncIterator[bytes]:
        for start, end in pairwise(ends):
            yield content[start:end]

    async with httpx.AsyncClient(base_url=server.url, timeout=_PATIENCE_S) as client:
        answer = await patch(client, sent.url, 0, pieces())
    assert answer.headers["upload-offset"] == str(SIZE)
    assert sent.status()["digest"] == digest_of(content)


async def test_newest_wins_over_a_hanging_one(server: HttpServer, photo_begun: tuple[bytes, Sent]) -> None:
    """A client whose connection hangs asks anew and goes on from all that had arrived.

    Had that taken two seconds, the answers would have been 423.
    """
    content, sent = photo_begun
    async with (
        Proxy(port_of(server.url), [2_000_000], stalls=True) as proxy,
        httpx.AsyncClient(timeout=_PATIENCE_S) as client,
    ):
        hanging = asyncio.create_task(patch(client, proxy.url + sent.url, 0, content))
        await proxy.stalled.wait()
        held = await offset_of(client, server.url + sent.url)
        answer = await patch(client, server.url + sent.url, held, content[held:])
        hanging.cancel()
    assert answer.headers["upload-offset"] == str(SIZE)
    assert sent.status()["digest"] == digest_of(content)


@asynccontextmanager
async def silenced(server: HttpServer, sent: Sent, begun: bytes) -> AsyncIterator[asyncio.StreamWriter]:
    """A connection that falls silent in the midst of a chunk of 64 KiB, once it has brought `begun`."""
    headers = TUS | {"Host": "x", "Upload-Offset": "0", "Content-Type": CHUNK, "Content-Length": "65536"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    _, writer = await asyncio.open_connection("127.0.0.1", port_of(server.url))
    writer.write(f"PATCH {sent.url} HTTP/1.1\r\n{head}\r\n".encode() + begun)
    await writer.drain()
    try:
        yield writer
    finally:
        writer.close()


async def held_at_last(client: httpx.AsyncClient, url: str, size: int) -> None:
    """Ask until so many bytes are held."""
    async with asyncio.timeout(_PATIENCE_S):
        while await offset_of(client, url) != size:
            pass


async def test_the_beginning_of_a_small_chunk_is_kept(server: HttpServer, photo_begun: tuple[bytes, Sent]) -> None:
    """What has come of the smallest chunk when its connection falls silent is held."""
    content, sent = photo_begun
    async with silenced(server, sent, content[:30_000]), httpx.AsyncClient(timeout=_PATIENCE_S) as client:
        await held_at_last(client, server.url + sent.url, 30_000)


async def test_an_older_small_chunk_stays_older(server: HttpServer, photo_begun: tuple[bytes, Sent]) -> None:
    """A silent request that has brought little does not break off the newer one when its connection ends."""
    content, sent = photo_begun
    url = server.url + sent.url
    under_way, ended = asyncio.Event(), asyncio.Event()

    async def rest() -> AsyncIterator[bytes]:
        yield content[30_000:1_000_000]
        under_way.set()
        await ended.wait()
        yield content[1_000_000:]

    async with silenced(server, sent, content[:30_000]) as older, httpx.AsyncClient(timeout=_PATIENCE_S) as client:
        await held_at_last(client, url, 30_000)
        newer = asyncio.create_task(patch(client, url, 30_000, rest()))
        await under_way.wait()
        older.close()
        ended.set()
        answer = await newer
    assert answer.headers["upload-offset"] == str(SIZE)


@pytest.fixture
async def twins(tmp_path: Path, postgres_server: URL, postgres_template: str) -> AsyncIterator[Servers]:
    """Two server processes over one database and one folder."""
    async with postgres_database(postgres_server, postgres_template) as url:
        servers = Servers(tmp_path, url, 2)
        try:
            await servers.start()
            yield servers
        finally:
            await servers.stop()


@pytest.fixture
async def device(twins: Servers) -> AsyncIterator[LoadDevice]:
    """A device signed in at the first process."""
    async with LoadDevice(twins.urls[0], USER) as signed_in:
        await signed_in.sign_in(twins.password)
        yield signed_in


async def test_chunks_to_either_process(twins: Servers, device: LoadDevice) -> None:
    """Chunks of one upload may go to any process of the machine."""
    content = photo(SIZE)
    url = await created(device, twins.urls[0], SIZE)
    async with httpx.AsyncClient(timeout=_PATIENCE_S) as client:
        for number, start in enumerate(range(0, SIZE, 1_000_000)):
            chunk = content[start : start + 1_000_000]
            assert (await patch(client, twins.urls[number % 2] + url, start, chunk)).status_code == 204
        status = (await client.get(twins.urls[0] + url)).json()
    assert (status["state"], status["digest"]) == ("complete", digest_of(content))


async def test_newest_wins_over_one_hanging_elsewhere(twins: Servers, device: LoadDevice) -> None:
    """A request that hangs in one process gives way to a newer one in another."""
    content = photo(SIZE)
    url = await created(device, twins.urls[0], SIZE)
    async with (
        Proxy(port_of(twins.urls[0]), [2_000_000], stalls=True) as proxy,
        httpx.AsyncClient(timeout=_PATIENCE_S) as client,
    ):
        hanging = asyncio.create_task(patch(client, proxy.url + url, 0, content))
        await proxy.stalled.wait()
        held = await offset_of(client, twins.urls[1] + url)
        answer = await patch(client, twins.urls[1] + url, held, content[held:])
        hanging.cancel()
        status = (await client.get(twins.urls[1] + url)).json()
    assert 0 < held < SIZE
    assert answer.status_code == 204
    assert status["digest"] == digest_of(content)


async def test_server_killed_in_the_midst(twins: Servers, device: LoadDevice) -> None:
    """After kill -9 of the process that takes an upload, nothing acknowledged is missing and it goes on."""
    content = photo(SIZE)
    url = await created(device, twins.urls[0], SIZE)
    async with (
        Proxy(port_of(twins.urls[0]), [3_000_000], stalls=True) as proxy,
        httpx.AsyncClient(timeout=_PATIENCE_S) as client,
    ):
        assert (await patch(client, twins.urls[0] + url, 0, content[:1_000_000])).status_code == 204
        hanging = asyncio.create_task(patch(client, proxy.url + url, 1_000_000, content[1_000_000:]))
        await proxy.stalled.wait()
        await twins.kill(0)
        hanging.cancel()
        held = await offset_of(client, twins.urls[0] + url)
        assert held >= 1_000_000
        assert (await patch(client, twins.urls[1] + url, held, content[held:])).status_code == 204
        status = (await client.get(twins.urls[0] + url)).json()
    assert status["digest"] == digest_of(content)
