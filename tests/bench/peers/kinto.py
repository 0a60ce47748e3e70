"""Kinto on PostgreSQL, beside ours on the same PostgreSQL. It takes 25 operations a batch."""

import base64
from contextlib import AsyncExitStack
from functools import partial

import asyncpg
import msgspec

from client_sdk.torture.wire import new_id
from tests.bench import servers
from tests.bench.figures import Figure, figure
from tests.bench.peers.client import PeerClient, count_of, losses, together
from tests.bench.peers.installing import PeerMissing, python_environment, run, serving
from tests.bench.peers.setting import CLIENTS, RECORDS, bounds
from tests.bench.running import Place
from tests.bench.turns import Contestant, Result, Work, take_turns

BATCH, BATCHES = 25, 2
"""Records a batch, the most Kinto takes, and batches a client in one run."""
_CREATED = 201
_COLLECTIONS = "/v1/buckets/bench/collections"
_AUTHORIZATION = {"Authorization": "Basic " + base64.b64encode(b"bench:bench").decode()}
_INI = """
[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = %(http_port)s
[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.postgresql
kinto.storage_url = {url}
kinto.cache_backend = kinto.core.cache.memory
kinto.permission_backend = kinto.core.permission.memory
kinto.userid_hmac_secret = bench
kinto.bucket_create_principals = system.Authenticated
multiauth.policies = basicauth
multiauth.policy.basicauth.use = kinto.core.authentication.BasicAuthAuthenticationPolicy
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = ERROR
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(message)s
"""
_FILL = """
INSERT INTO objects (id, parent_id, resource_name, last_modified, data, deleted)
SELECT gen_random_uuid()::text, '/buckets/bench/collections/pulled', 'record',
    now()::timestamp - n * interval '1 millisecond', $2::text::jsonb, false
FROM generate_series(1, $1::int) AS n
"""


class _Part(msgspec.Struct):
    status: int
    path: str


class _Answer(msgspec.Struct):
    responses: list[_Part] = []


class _Record(msgspec.Struct):
    id: str


class _Records(msgspec.Struct):
    data: list[_Record]


async def measure(place: Place) -> list[Figure]:
    """Pull and push, ours and theirs by turns. Raises PeerMissing."""
    programs = await python_environment("kinto")
    (ini := place.folder / "kinto.ini").write_text(_INI.format(url=place.bare_url.replace("%", "%%")))
    kinto = str((programs / "kinto").absolute())
    await run(kinto, "migrate", "--ini", str(ini))
    async with AsyncExitStack() as stack:
        words = (kinto, "start", "--ini", str(ini), "--port", "{port}")
        url = await stack.enter_async_context(serving(*words, cwd=place.folder, log=place.folder / "kinto.log"))
        clients = [PeerClient(url, _AUTHORIZATION) for _ in range(CLIENTS)]
        for client in clients:
            stack.callback(client.close)
        await _create(clients[0])
        ours = await stack.enter_async_context(servers.ours(place, CLIENTS + 1))
        pulled = await _pulls(place, clients, ours)
        pushed, remarks = await _pushes(place, clients, ours)
    return _figures(place, pulled, pushed, remarks)


def _figures(
    place: Place, pulled: dict[str, Result], pushed: dict[str, Result], remarks: dict[str, str]
) -> list[Figure]:
    what = f"push, 100 a batch, {CLIENTS} devices, {place.database}, beside Kinto"
    return [
        *(
            figure(
                f"{what}, {name}",
                pushed["ours"].rate,
                "changes/s",
                f"Kinto, {BATCH} a batch, {name}",
                pushed[name].rate,
                remark=remark,
            )
            for name, remark in remarks.items()
        ),
        figure(
            f"pull of {RECORDS:,}, {CLIENTS} devices, {place.database}, beside Kinto",
            pulled["ours"].rate,
            "records/s",
            "Kinto, one page",
            pulled["theirs"].rate,
        ),
    ]


async def _create(client: PeerClient) -> None:
    names = ["pulled", "shared", *(f"own{number}" for number in range(CLIENTS))]
    for path in ("/v1/buckets/bench", *(f"{_COLLECTIONS}/{name}" for name in names)):
        status, answer = await client.call("PUT", path, b"{}")
        if status != _CREATED:
            raise PeerMissing(f"Kinto makes no {path}: {status} {answer[:200]!r}")


async def _pulls(place: Place, clients: list[PeerClient], ours: servers.Ours) -> dict[str, Result]:
    connection = await asyncpg.connect(place.bare_url)
    # By itself it would take a minute.
    await connection.execute(_FILL, RECORDS, msgspec.json.encode(servers.FIELDS).decode())
    await connection.close()
    await servers.pushes(ours.devices[CLIENTS:], RECORDS // servers.BATCH)()
    size = bounds(place)
    contestants = {
        "theirs": Contestant(lambda: together(clients, [partial(_pull, client, size.pulls) for client in clients])),
        "ours": Contestant(lambda: servers.pulls(ours.devices[:CLIENTS], size.pulls)),
    }
    return await take_turns(contestants, size.runs)


async def _pushes(
    place: Place, clients: list[PeerClient], ours: servers.Ours
) -> tuple[dict[str, Result], dict[str, str]]:
    size = bounds(place)
    homes = {"one collection": ["shared"] * CLIENTS, "a collection each": [f"own{n}" for n in range(CLIENTS)]}
    contestants = {name: Contestant(partial(_theirs, clients, home)) for name, home in homes.items()}
    contestants["ours"] = Contestant(lambda: servers.pushes(ours.devices[:CLIENTS], size.pushes))
    results = await take_turns(contestants, size.runs)
    acknowledged = set[str]().union(*(client.acknowledged for client in clients))
    sent = CLIENTS * size.pushes * servers.BATCH * (size.runs + 1)
    ours_there = await count_of(ours.devices[CLIENTS]) - RECORDS
    remarks = {}
    clients[0].refresh()
    for name, home in homes.items():
        there = set[str]().union(*[await _stored(clients[0], collection) for collection in set(home)])
        of_these = {path for path in acknowledged if path.split("/")[-3] in home}
        remarks[name] = losses("Kinto", len(of_these), len(of_these & there), sent, ours_there)
    return results, remarks


def _theirs(clients: list[PeerClient], home: list[str]) -> Work:
    work = [partial(_push, client, _bodies(name)) for client, name in zip(clients, home, strict=True)]
    return together(clients, work)


def _bodies(collection: str) -> list[bytes]:
    def request() -> dict[str, object]:
        path = f"{_COLLECTIONS}/{collection}/records/{new_id()}"
        return {"method": "PUT", "path": path, "body": {"data": {"type": "finding", **servers.FIELDS}}}

    return [msgspec.json.encode({"requests": [request() for _ in range(BATCH)]}) for _ in range(BATCHES)]


async def _push(client: PeerClient, bodies: list[bytes]) -> int:
    """Sends batches; how many records were acknowledged."""
    count = 0
    for body in bodies:
        _, answer = await client.call("POST", "/v1/batch", body)
        parts = msgspec.json.decode(answer, type=_Answer).responses
        stored = [part.path for part in parts if part.status == _CREATED]
        client.acknowledged.update(stored)
        count += len(stored)
    return count


async def _pull(client: PeerClient, times: int) -> int:
    return sum([len(await _stored(client, "pulled")) for _ in range(times)])


async def _stored(client: PeerClient, collection: str) -> set[str]:
    """The paths of the records of a collection."""
    path = f"{_COLLECTIONS}/{collection}/records"
    _, answer = await client.call("GET", path)
    return {f"{path}/{record.id}" for record in msgspec.json.decode(answer, type=_Records).data}
