"""@tus/server with its file store, which neither hashes nor syncs: the same bytes by the same client."""

import asyncio
import http.client
import statistics
from pathlib import Path
from urllib.parse import urlsplit

from client_sdk.demo.stage import Stage
from client_sdk.torture.wire import LoadDevice
from tests.bench.figures import Figure, Goal, figure
from tests.bench.peers.installing import node_serving
from tests.bench.uploads import ROUNDS, SIZE, created, send


async def measure(folder: Path) -> list[Figure]:
    """Ours beside theirs, round by round. Raises PeerMissing."""
    stage = Stage(folder)
    ours, theirs = [], []
    try:
        await stage.command("init")
        await stage.add_user("bench", ("supervisor", "grid:440304"))
        await stage.start_server()
        async with (
            LoadDevice(stage.url, "bench") as device,
            node_serving("tus_server.mjs", folder / "peer", "@tus/server", "@tus/file-store") as peer,
        ):
            await device.sign_in(stage.password)
            for _ in range(ROUNDS):
                theirs.append(await asyncio.to_thread(send, peer, await asyncio.to_thread(_created, peer)))
                ours.append(await asyncio.to_thread(send, stage.url, await created(stage.url, device, SIZE)))
    finally:
        await stage.stop_server()
    name = "@tus/server, neither hashed nor synced"
    what = "upload, 64 MiB in 5 MiB chunks, beside a peer"
    return [figure(what, statistics.median(ours), "MB/s", name, statistics.median(theirs), Goal(ratio_at_least=1))]


def _created(url: str) -> str:
    """The path of a new upload at the peer."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port)
    connection.request("POST", "/files", headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(SIZE)})
    location = connection.getresponse().getheader("location")
    if location is None:
        raise RuntimeError("the peer makes no upload")
    return urlsplit(location).path
