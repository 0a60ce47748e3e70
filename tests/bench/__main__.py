"""`make bench`: measure, print, and write build/bench.json."""

import asyncio
import tempfile
from pathlib import Path

from tests.bench import local_writes, media_checks, push_pull
from tests.bench.figures import Figure, report
from tests.postgres import postgres_database, running_postgres


async def measure(folder: Path) -> list[Figure]:
    """All figures, one database after the other."""
    for name in ("sqlite", "postgres", "device", "media"):
        (folder / name).mkdir()
    figures = await push_pull.measure(folder / "sqlite", "SQLite", None, None)
    with running_postgres() as server:
        async with postgres_database(server) as url, postgres_database(server) as bare:
            figures += await push_pull.measure(folder / "postgres", "PostgreSQL", url, bare)
    figures += await local_writes.measure(folder / "device")
    return figures + await media_checks.measure(folder / "media")


def main() -> None:
    """Run all benchmarks."""
    with tempfile.TemporaryDirectory(prefix="gridwalk-bench-") as folder:
        report(asyncio.run(measure(Path(folder))))


main()
