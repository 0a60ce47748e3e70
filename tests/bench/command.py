"""The command line of `make bench` and `make bench-peers`."""

import argparse
import asyncio
import sys
from collections.abc import Mapping

from tests.bench.figures import QUICK_RESULTS, RESULTS, keep, kept, show
from tests.bench.publishing import publish
from tests.bench.running import Benchmark, run


def main(benchmarks: Mapping[str, Benchmark], target: str, about: str) -> None:
    """Run the benchmarks that were named, or all."""
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
    if failed := asyncio.run(_run_all(chosen, quick=asked.quick)):
        sys.exit(f"failed: {'; '.join(failed)}")
    if not asked.quick:
        publish(kept(RESULTS), write_docs=asked.write_docs)


async def _run_all(chosen: list[tuple[str, Benchmark]], *, quick: bool) -> list[str]:
    """Show and keep what each benchmark measured before the next begins; the names of those that failed."""
    failed = []
    async for measured in run(chosen, quick=quick):
        if measured.figures:
            show(measured.figures)
            keep(measured.figures, QUICK_RESULTS if quick else RESULTS)
        else:
            failed.append(measured.name)
    return failed
