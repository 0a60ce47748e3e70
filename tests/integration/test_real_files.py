"""Real city files, messy, with their own field names, load with nothing but a mapping."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from server.storage.database import open_database
from tests.integration.cli import Gridwalk, counted

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
EXAMPLES = ROOT / "docs" / "examples"
CANS, REQUESTS = "litter-cans.geojson", "street-alley-cleaning-last-30-days.geojson"
GENERATE = ("--district", "110100", "--generate-grids")

pytestmark = pytest.mark.skipif(
    not (DATA / CANS).exists(), reason="the real city files do not stand beside the project, in ../shared/data"
)


def features(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DATA / name).read_text("utf-8"))["features"]
    return found


async def stored(url: str, record_type: str) -> list[dict[str, Any]]:
    database = open_database(url, 1)
    async with database.store.reading() as tx:
        pages = [page async for page in tx.scan(record_type)]
    await database.close()
    return [msgspec.msgpack.decode(record.fields) for page in pages for record in page]


@pytest.fixture
def load(tmp_path: Path, database_url: str) -> Callable[[str, str], dict[str, int]]:
    gridwalk = Gridwalk(tmp_path, database_url)

    def run(name: str, mapping: str) -> dict[str, int]:
        return counted(gridwalk.well("import", DATA / name, "--mapping", EXAMPLES / mapping, *GENERATE))

    return run


async def test_litter_cans(load: Callable[[str, str], dict[str, int]], database_url: str) -> None:
    """Every litter can becomes a component, its coordinates bit for bit; again nothing changes."""
    source = features(CANS)
    assert load(CANS, "litter-cans.toml")["created"] == len(source)
    records = {record["code"]: record for record in await stored(database_url, "component")}
    for feature in source:
        record = records[str(feature["properties"]["LITTERID"])]
        assert [record["place"]["lon"], record["place"]["lat"]] == feature["geometry"]["coordinates"]
    materials = Counter(record.get("material") for record in records.values())
    assert materials == Counter(feature["properties"]["TYPE"].strip() or None for feature in source)
    assert load(CANS, "litter-cans.toml")["unchanged"] == len(source)


async def test_service_requests(load: Callable[[str, str], dict[str, int]], database_url: str) -> None:
    """Every request becomes a finding with its state, due and resolution time."""
    source = {feature["properties"]["SERVICEREQUESTID"]: feature["properties"] for feature in features(REQUESTS)}
    assert load(REQUESTS, "service-requests.toml")["created"] == len(source)
    records = {record["reference"]: record for record in await stored(database_url, "finding")}
    states = Counter(record["state"] for record in records.values())
    codes = Counter(row["STATUS_CODE"] for row in source.values())
    assert states == {"reported": codes["OPEN"], "closed": codes["CLOSED"]}
    for reference, row in source.items():
        record = records[reference]
        assert record["due_at"].strftime("%Y-%m-%dT%H:%M:%S.000Z") == row["SERVICEDUEDATE"]
        assert (record.get("resolved_at") is None) == (row["RESOLUTIONDATE"] is None)
        assert (row["STREETADDRESS"] or "") in record["text"]


async def test_both_files_share_one_grid(load: Callable[[str, str], dict[str, int]], database_url: str) -> None:
    """The second file of a district goes into the grid the first one made: no code stands for two places."""
    load(CANS, "litter-cans.toml")
    assert load(REQUESTS, "service-requests.toml")["created"] == len(features(REQUESTS))
    cells = await stored(database_url, "unit_grid")
    assert len({cell["code"] for cell in cells}) == len(cells)
    known = {cell["code"] for cell in cells}
    placed = [*await stored(database_url, "component"), *await stored(database_url, "finding")]
    assert {record["grid"] for record in placed} <= known
