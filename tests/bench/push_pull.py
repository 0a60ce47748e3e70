"""Push and pull of real server processes over HTTP, beside the raw database and an endpoint without rules."""

from contextlib import AsyncExitStack

from client_sdk.torture.wire import encoder
from tests.bench import raw, servers
from tests.bench.figures import Figure, Goal, figure
from tests.bench.running import Place
from tests.bench.turns import Contestant, Result, take_turns

CLIENTS = 8
RUNS, QUICK_RUNS = 5, 1
PUSHES, QUICK_PUSHES = 25, 5
"""Pushes of 100 changes each client sends in one run."""
RECORDS, QUICK_RECORDS = 10_000, 2_000
PULLS = 4
PUSH_GOALS = {"SQLite": Goal(at_least=12_000), "PostgreSQL": Goal(at_least=25_000, ratio_at_least=0.15)}
PULL_GOAL = Goal(at_least=150_000)


async def push(place: Place) -> list[Figure]:
    """Changes/s, and processor time a change, of all devices at once; on PostgreSQL of two processes too."""
    each = QUICK_PUSHES if place.quick else PUSHES
    body = encoder.encode(servers.FIELDS)
    async with AsyncExitStack() as stack:
        database = await servers.postmaster(place)
        one = await stack.enter_async_context(servers.ours(place, CLIENTS))
        bare = await stack.enter_async_context(servers.bare(place, CLIENTS))
        contestants = {
            "raw": await stack.enter_async_context(raw.inserting(place, body, CLIENTS, each)),
            "logged": await stack.enter_async_context(raw.inserting(place, body, CLIENTS, each, logged=True)),
            "bare": Contestant(lambda: servers.bare_pushes(bare.connections, each), (bare.pid,), database),
            "ours": Contestant(lambda: servers.pushes(one.devices, each), one.pids, database),
        }
        if place.on_postgres:
            two = await stack.enter_async_context(servers.ours(place, CLIENTS, 2))
            contestants["two"] = Contestant(lambda: servers.pushes(two.devices, each), two.pids, database)
        results = await take_turns(contestants, QUICK_RUNS if place.quick else RUNS)
    return _push_figures(place, results)


def _push_figures(place: Place, results: dict[str, Result]) -> list[Figure]:
    what = f"push, 100 a batch, {CLIENTS} devices, {place.database}"
    found, raw_rate, bare_rate = results["ours"], results["raw"].rate, results["bare"].rate
    unit, bare = "changes/s", "Litestar without rules"
    raw_name = f"raw {place.database}, 100-row transactions"
    rows = [
        figure(what, found.rate, unit, raw_name, raw_rate, PUSH_GOALS[place.database]),
        figure(f"{what}, beside all rows", found.rate, unit, f"{raw_name}, log and feed too", results["logged"].rate),
        figure(f"{what}, beside a bare endpoint", found.rate, unit, bare, bare_rate),
    ]
    if place.on_postgres:
        rows.append(figure(f"{what}, 2 processes", results["two"].rate, unit, "1 process", found.rate))
    return rows + _costs(what, "change", found, results["bare"], bare)


def _costs(what: str, each: str, found: Result, base: Result, name: str) -> list[Figure]:
    """Where the processors' time went, beside that of the baseline; what the machine does not tell is left out."""
    return [
        figure(f"{what}: processor time of the {where}", mine, f"µs/{each}", name, theirs)
        for where, mine, theirs in (
            ("server", found.cost.server, base.cost.server),
            ("database", found.cost.database, base.cost.database),
            ("client", found.cost.client, base.cost.client),
        )
        if mine and theirs
    ]


async def pull(place: Place) -> list[Figure]:
    """Records/s, and processor time a record, of all devices at once, each of which gets all there is."""
    records = QUICK_RECORDS if place.quick else RECORDS
    body, each = encoder.encode(servers.FIELDS), records // servers.BATCH // CLIENTS + 1
    async with AsyncExitStack() as stack:
        database = await servers.postmaster(place)
        one = await stack.enter_async_context(servers.ours(place, CLIENTS + 1))
        bare = await stack.enter_async_context(servers.bare(place, CLIENTS))
        filling = await stack.enter_async_context(raw.inserting(place, body, CLIENTS, each))
        await filling.prepare()()
        await servers.bare_pushes(bare.connections, each)()
        # By another than those who pull: one's own records come by a feed of one's own too.
        await servers.pushes(one.devices[CLIENTS:], records // servers.BATCH)()
        contestants = {
            "raw": await stack.enter_async_context(raw.reading(place, CLIENTS, records, PULLS)),
            "bare": Contestant(lambda: servers.bare_pulls(bare.connections, records, PULLS), (bare.pid,), database),
            "ours": Contestant(lambda: servers.pulls(one.devices[:CLIENTS], PULLS), one.pids, database),
        }
        results = await take_turns(contestants, QUICK_RUNS if place.quick else RUNS)
    what = f"pull of {records:,}, {CLIENTS} devices, {place.database}"
    found, bare_name = results["ours"], "Litestar without rules"
    anew = await _pull_of_areas(place, records)
    return [
        figure(f"{what}, an area each, more than is kept in memory", anew.rate, "records/s", "one area", found.rate),
        figure(what, found.rate, "records/s", f"raw {place.database}", results["raw"].rate, PULL_GOAL),
        figure(f"{what}, beside a bare endpoint", found.rate, "records/s", bare_name, results["bare"].rate),
        *_costs(what, "record", found, results["bare"], bare_name),
    ]


async def _pull_of_areas(place: Place, records: int) -> Result:
    """Each device pulls a street of its own: together more than the server keeps, so that each page is read anew."""
    streets = [f"{servers.GRID[:6]}{number:03}" for number in range(101, 101 + CLIENTS)]
    async with servers.ours(place, 2 * CLIENTS, areas=streets) as one:
        readers, writers = one.devices[:CLIENTS], one.devices[CLIENTS:]
        for street, writer in zip(streets, writers, strict=True):
            fields = servers.FIELDS | {"grid": f"{street}001001"}
            await servers.pushes([writer], records // servers.BATCH, fields)()
        found = {"areas": Contestant(lambda: servers.pulls(readers, 1), one.pids)}
        return (await take_turns(found, QUICK_RUNS if place.quick else RUNS))["areas"]
