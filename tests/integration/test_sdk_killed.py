"""A device killed at any instant: record and outbox agree, and whatever was confirmed is there."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from client_sdk.store.opening import open_store
from tests.fake_server import REGISTRY
from tests.fake_time import START_MS

# Signs in once at the server in its own process, then writes until it is killed, a line for each confirmed write.
WRITER = """
import asyncio, sys
from pathlib import Path
from tests.phones import city, finding, opened

async def main():
    async with opened(Path(sys.argv[1]), city()) as device:
        await device.sign_in("li", "secret")
        n = 0
        while True:
            if n % 3:
                made = await device.create(finding(f"{n}"))
                await device.update(made, priority="urgent")
            else:
                async with device.batch() as batch:
                    made = [batch.create(finding(f"{n} {k}")) for k in range(7)][-1]
            print(made.id.hex, flush=True)
            n += 1

asyncio.run(main())
"""


def killed_writer(path: Path, after_s: float) -> set[bytes]:
    """Let a writer work on the store and kill it that long after its first write; the records it confirmed."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline()]
        time.sleep(after_s)  # how far the writer gets is the point
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
    return {bytes.fromhex(line.strip()) for line in lines if len(line) == 33}


def test_killed_at_any_instant(tmp_path: Path) -> None:
    """After each of several kills nothing is damaged, numbers have no holes, and every confirmed write is there."""
    rng = random.Random(1)
    path = tmp_path / "phone.db"
    confirmed: set[bytes] = set()
    for _ in range(5):
        confirmed |= killed_writer(path, rng.uniform(0, 0.15))
        tables, rescue = open_store(path, REGISTRY, START_MS, rng.randbytes)
        assert rescue is None
        check(tables.db, confirmed)
        tables.db.close()
    assert len(confirmed) > 5


def check(db: sqlite3.Connection, confirmed: set[bytes]) -> None:
    """The invariants of a store in which findings were only created and updated."""
    numbers = [row[0] for row in db.execute("SELECT seq FROM outbox ORDER BY seq")]
    assert numbers == list(range(1, len(numbers) + 1))
    records = {row[0] for row in db.execute("SELECT id FROM records")}
    assert records == {row[0] for row in db.execute("SELECT record FROM outbox")}
    assert records >= confirmed
    assert len(records) == db.execute("SELECT count(*) FROM search").fetchone()[0]
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
