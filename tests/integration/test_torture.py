"""`gridwalk torture` as a person runs it, short: real server processes, killed for real, on both databases."""

import re
from pathlib import Path

import pytest

from client_sdk.torture.checks import PROMISES
from server.storage.database import open_database
from sync.storage import FeedRow
from tests.contracts.samples import STREET, a_batch, a_record, an_id, put
from tests.integration.cli import Gridwalk


def count(printed: str, what: str) -> int:
    """A number of the summary."""
    (found,) = re.findall(rf"^\s*{what}\s+([0-9,]+)", printed, re.MULTILINE)
    return int(found.replace(",", ""))


@pytest.mark.parametrize(("database", "workers", "kills"), [("sqlite", 1, 2), ("postgres", 1, 2), ("postgres", 2, 1)])
def test_nothing_is_lost(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, workers: int, kills: int
) -> None:
    """Server processes killed under load lose nothing they acknowledged, and do nothing twice."""
    words = ["--kills", str(kills), "--devices", "6", "--workers", str(workers), "--seed", "7"]
    if database == "postgres":
        words += ["--database-url", request.getfixturevalue("bare_postgres_url")]
    printed = Gridwalk(tmp_path).well("torture", *words)
    assert [promise for promise in PROMISES if f"✓ {promise}" not in printed] == []
    # At the end every process is killed once more.
    assert count(printed, "server processes killed") == kills + workers
    assert count(printed, "requests without an answer, sent again") > 0
    assert count(printed, "changes acknowledged") == count(printed, "changes resent at the end") > 100


async def test_records_of_others_are_left_alone(tmp_path: Path, postgres_url: str) -> None:
    """A database that holds records already is refused, in one sentence."""
    database = open_database(postgres_url, 1)
    await put(database.store, a_batch([a_record(1)], feed_added=[FeedRow(STREET, 0, 1, an_id(1), False)]))
    await database.close()
    words = ("torture", "--kills", "0", "--devices", "1", "--database-url", postgres_url)
    assert "give an empty one" in Gridwalk(tmp_path).fails(*words)
