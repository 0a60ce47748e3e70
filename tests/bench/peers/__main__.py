"""`make bench-peers`: measure beside other programs, print, and add to build/bench.json."""

from collections.abc import Awaitable, Callable

from tests.bench.command import main
from tests.bench.figures import Figure, left_out
from tests.bench.peers import kinto, pouchdb, tus
from tests.bench.peers.installing import PeerMissing
from tests.bench.running import POSTGRES, SQLITE, Benchmark, Place


def beside(peer: str, measure: Callable[[Place], Awaitable[list[Figure]]], database: str = SQLITE) -> Benchmark:
    """A benchmark beside a peer; where that cannot be run, the row says so."""

    async def measured(place: Place) -> list[Figure]:
        try:
            return await measure(place)
        except PeerMissing as error:
            return [left_out(f"beside {peer}", "", f"cannot be run here: {error}")]

    return Benchmark(f"the same work by {peer}", measured, (database,))


PEERS = {
    "kinto": beside("Kinto", kinto.measure, POSTGRES),
    "pouchdb": beside("express-pouchdb", pouchdb.measure),
    "tus": beside("@tus/server", lambda place: tus.measure(place.folder)),
}

main(PEERS, "bench-peers", __doc__ or "")
