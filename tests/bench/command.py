"""The command line of `make bench` and `make bench-peers`."""

import argparse
import asyncio
import sys
from collections.abc import Mapping

from tests.bench.figures import QUICK_RESULTS, RESULTS, keep, show
from tests.bench.publishing import publish
from tests.bench.running import Benchmark, run


def main(benchmarks: Mapping[str, Benchmark], target: str, about: str, *, add: bool) -> None:
    """Run the benchmarks that were named, or all. `add` keeps the figures of others even when all were run."""
    parser = argparse.ArgumentParser(prog=f"make {target} ARGS=...", description=about)
    parser.add_argument("names", nargs="*", metavar="name", help="what to measure; nothing named: everything")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and end")
    parser.add_argument("--quick", action="store_true", help="small runs: they show that a benchmark works, no more")
    parser.add_argument("--write-docs", action="store_true", help="put the figures and charts into docs/ too")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - benchmarks.keys()):
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(benchmarks)}")
    if asked.quick and asked.write_docs:
        parser.error("the docs show full runs")
    if asked.list:
        for name, benchmark in benchmarks.items():
            print(f"{name:14} {benchmark.what} ({', '.join(benchmark.on)})")
        return
    chosen = [(name, one) for name, one in benchmarks.items() if not asked.names or name in asked.names]
    figures, failed = asyncio.run(run(chosen, quick=asked.quick))
    show(figures)
    if asked.quick:
        keep(figures, QUICK_RESULTS, add=False)
    else:
        publish(keep(figures, RESULTS, add=add or bool(asked.names)), write_docs=asked.write_docs)
    if failed:
        sys.exit(f"failed: {'; '.join(failed)}")
