"""express-pouchdb over LevelDB, which does not sync to disk for each batch, beside ours on SQLite, which does."""

from contextlib import AsyncExitStack
from functools import partial

import msgspec

from client_sdk.torture.wire import new_id
from tests.bench import servers
from tests.bench.figures import Figure, figure
from tests.bench.peers.client import PeerClient, count_of, losses, together
from tests.bench.peers.installing import node_serving
from tests.bench.peers.setting import CLIENTS, RECORDS, bounds
from tests.bench.running import Place
from tests.bench.turns import Contestant, Result, Work, take_turns

_encode = msgspec.json.encode


class _Document(msgspec.Struct):
    id: str
    ok: bool = False


class _Listed(msgspec.Struct):
    rows: list[_Document]


class _Changed(msgspec.Struct):
    id: str
    doc: msgspec.Raw


class _Changes(msgspec.Struct):
    results: list[_Changed]


_decode_pushed = msgspec.json.Decoder(list[_Document]).decode
_decode_changes = msgspec.json.Decoder(_Changes).decode


async def measure(place: Place) -> list[Figure]:
    """Pull and push, ours and theirs by turns. Raises PeerMissing."""
    async with AsyncExitStack() as stack:
        data = place.folder / "pouchdb"
        url = await stack.enter_async_context(
            node_serving("pouchdb_server.mjs", data, "express-pouchdb", "pouchdb-node")
        )
        clients = [PeerClient(url) for _ in range(CLIENTS)]
        for client in clients:
            stack.callback(client.close)
        ours = await stack.enter_async_context(servers.ours(place, CLIENTS + 1))
        pulled = await _pulls(place, clients, ours)
        pushed, remark = await _pushes(place, clients, ours)
    return [
        figure(
            f"push, 100 a batch, {CLIENTS} devices, {place.database}, beside express-pouchdb",
            pushed["ours"].rate,
            "changes/s",
            "express-pouchdb, LevelDB, not synced to disk",
            pushed["theirs"].rate,
            remark=remark,
        ),
        figure(
            f"pull of {RECORDS:,}, {CLIENTS} devices, {place.database}, beside express-pouchdb",
            pulled["ours"].rate,
            "records/s",
            "express-pouchdb, changes feed with documents",
            pulled["theirs"].rate,
        ),
    ]


async def _pulls(place: Place, clients: list[PeerClient], ours: servers.Ours) -> dict[str, Result]:
    await clients[0].call("PUT", "/pulled")
    for body in _bodies(RECORDS // servers.BATCH):
        await _push(clients[0], "/pulled", [body])
    clients[0].acknowledged.clear()
    await servers.pushes(ours.devices[CLIENTS:], RECORDS // servers.BATCH)()
    size = bounds(place)
    contestants = {
        "theirs": Contestant(lambda: together(clients, [partial(_pull, client, size.pulls) for client in clients])),
        "ours": Contestant(lambda: servers.pulls(ours.devices[:CLIENTS], size.pulls)),
    }
    return await take_turns(contestants, size.runs)


async def _pushes(place: Place, clients: list[PeerClient], ours: servers.Ours) -> tuple[dict[str, Result], str]:
    clients[0].refresh()
    await clients[0].call("PUT", "/pushed")
    size = bounds(place)

    def theirs() -> Work:
        return together(clients, [partial(_push, client, "/pushed", _bodies(size.pushes)) for client in clients])

    contestants = {
        "theirs": Contestant(theirs),
        "ours": Contestant(lambda: servers.pushes(ours.devices[:CLIENTS], size.pushes)),
    }
    results = await take_turns(contestants, size.runs)
    acknowledged = set[str]().union(*(client.acknowledged for client in clients))
    clients[0].refresh()
    _, listed = await clients[0].call("GET", "/pushed/_all_docs")
    there = {row.id for row in msgspec.json.decode(listed, type=_Listed).rows}
    sent = CLIENTS * size.pushes * servers.BATCH * (size.runs + 1)
    ours_there = await count_of(ours.devices[CLIENTS]) - RECORDS
    return results, losses("express-pouchdb", len(acknowledged), len(acknowledged & there), sent, ours_there)


def _bodies(count: int) -> list[bytes]:
    return [
        _encode({"docs": [{"_id": str(new_id()), "type": "finding", **servers.FIELDS} for _ in range(servers.BATCH)]})
        for _ in range(count)
    ]


async def _push(client: PeerClient, database: str, bodies: list[bytes]) -> int:
    count = 0
    for body in bodies:
        _, answer = await client.call("POST", f"{database}/_bulk_docs", body)
        stored = [one.id for one in _decode_pushed(answer) if one.ok]
        client.acknowledged.update(stored)
        count += len(stored)
    return count


async def _pull(client: PeerClient, times: int) -> int:
    count = 0
    for _ in range(times):
        _, answer = await client.call("GET", f"/pulled/_changes?include_docs=true&limit={RECORDS}")
        count += len(_decode_changes(answer).results)
    return count
