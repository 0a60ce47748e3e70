"""Named benchmarks: where each of them works, and how those chosen are run one after the other."""

import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec.structs import replace
from sqlalchemy.engine import URL, make_url

from tests.bench.figures import Figure
from tests.postgres import postgres_database, running_postgres

SQLITE, POSTGRES = "SQLite", "PostgreSQL"
BOTH = (SQLITE, POSTGRES)


class Place(msgspec.Struct, frozen=True):
    """Where a benchmark works: an empty folder, a database for the server and one for the baseline, both empty.

    `database` is the name for people. `quick` asks for a run that shows that the benchmark works, no more.
    """

    folder: Path
    database: str
    url: str
    bare_url: str
    quick: bool

    @property
    def on_postgres(self) -> bool:
        """Whether the databases are PostgreSQL's."""
        return self.database == POSTGRES

    @asynccontextmanager
    async def another(self, name: str) -> AsyncIterator["Place"]:
        """A place of its own on the same kind of database, for what needs several at once."""
        (folder := self.folder / name).mkdir()
        if self.on_postgres:
            server = make_url(self.url)
            async with postgres_database(server) as url, postgres_database(server) as bare:
                yield Place(folder, self.database, url, bare, self.quick)
        else:
            yield _on_sqlite(folder, self.quick)


class Benchmark(msgspec.Struct, frozen=True):
    """What is measured, in words, and how: once for each database of `on`."""

    what: str
    measure: Callable[[Place], Awaitable[list[Figure]]]
    on: tuple[str, ...] = (SQLITE,)


class Measured(msgspec.Struct, frozen=True):
    """What came of a benchmark on one database; no figures at all where it failed, what it raised is printed then."""

    name: str
    figures: list[Figure]


async def run(chosen: Iterable[tuple[str, Benchmark]], *, quick: bool) -> AsyncIterator[Measured]:
    """Run one after the other, and tell of each as soon as it is done."""
    async with AsyncExitStack() as stack:
        server: URL | None = None
        for name, benchmark in chosen:
            for database in benchmark.on:
                if database == POSTGRES and server is None:
                    server = stack.enter_context(running_postgres())
                what = f"{name}, {database}"
                print(f"{what} ...", flush=True)
                yield Measured(
                    what, [replace(row, benchmark=what) for row in await _rows(benchmark, database, server, quick)]
                )


async def _rows(benchmark: Benchmark, database: str, server: URL | None, quick: bool) -> list[Figure]:
    try:
        async with _place(database, server, quick) as place:
            return await benchmark.measure(place)
    except Exception:
        traceback.print_exc()
        return []


@asynccontextmanager
async def _place(database: str, server: URL | None, quick: bool) -> AsyncIterator[Place]:
    with TemporaryDirectory(prefix="gridwalk-bench-") as name:
        folder = Path(name)
        if database == SQLITE or server is None:
            yield _on_sqlite(folder, quick)
        else:
            async with postgres_database(server) as url, postgres_database(server) as bare:
                yield Place(folder, POSTGRES, url, bare, quick)


def _on_sqlite(folder: Path, quick: bool) -> Place:
    return Place(folder, SQLITE, f"sqlite:///{folder}/server.db", f"sqlite:///{folder}/bare.db", quick)
