"""`make bench`: measure, print, and write build/bench.json. Names choose some: make bench ARGS="push pull"."""

import argparse
import asyncio
import sys

from tests.bench import (
    device_store,
    first_sync,
    live,
    local_writes,
    many_devices,
    media_checks,
    patrol_day,
    push_pull,
    uploads,
)
from tests.bench.figures import report
from tests.bench.running import BOTH, Benchmark, run

BENCHMARKS = {
    "push": Benchmark("pushes of 100 changes by 8 devices", push_pull.push, BOTH),
    "pull": Benchmark("pulls of all there is by 8 devices", push_pull.pull, BOTH),
    "first-sync": Benchmark("first sync of 500,000 components", first_sync.measure, BOTH),
    "live": Benchmark("from a push to the pull of 200 listening devices", live.measure, BOTH),
    "many-devices": Benchmark("15,000 devices that come online within two minutes", many_devices.measure, BOTH),
    "local-writes": Benchmark("writes on the device", lambda place: local_writes.measure(place.folder)),
    "device-store": Benchmark("a store of 500,000 records", lambda place: device_store.measure(place.folder)),
    "patrol-day": Benchmark("a day's patrol on the wire", lambda place: patrol_day.measure(place.folder)),
    "uploads": Benchmark("uploads of 64 MiB, and of 50 phones at once", lambda place: uploads.measure(place.folder)),
    "media-checks": Benchmark("checks of a 12-megapixel photo", lambda place: media_checks.measure(place.folder)),
}


def main() -> None:
    """Run the benchmarks that were named, or all."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help="what to measure; nothing named: everything")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and end")
    parser.add_argument("--quick", action="store_true", help="small runs: they show that a benchmark works")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - BENCHMARKS.keys()):
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if asked.list:
        for name, benchmark in BENCHMARKS.items():
            print(f"{name:14} {benchmark.what} ({', '.join(benchmark.on)})")
        return
    chosen = [(name, one) for name, one in BENCHMARKS.items() if not asked.names or name in asked.names]
    figures, failed = asyncio.run(run(chosen, quick=asked.quick))
    report(figures, add=bool(asked.names))
    if failed:
        sys.exit(f"failed: {'; '.join(failed)}")


main()
