"""`make bench-peers`: measure beside other programs, print, and add to build/bench.json. A peer that cannot run is
named and left out."""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.bench.figures import report
from tests.bench.peers import tus
from tests.bench.peers.node import PeerMissing

PEERS = {"@tus/server": tus.measure}


def main() -> None:
    """Run all peers."""
    figures = []
    for name, measure in PEERS.items():
        with tempfile.TemporaryDirectory(prefix="gridwalk-peer-") as folder:
            try:
                figures += asyncio.run(measure(Path(folder)))
            except PeerMissing as error:
                print(f"{name} left out: {error}", file=sys.stderr)
    report(figures, add=True)


main()
