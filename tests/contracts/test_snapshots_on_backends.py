"""Snapshots on every backend: one moment, whatever is written meanwhile."""

import uuid

from sync.messages import PullRequest, SnapshotRequest
from sync.pull import pull
from sync.snapshot import cursor_behind, cuts, key_of, moment_of
from sync.storage import Store
from tests.unit.builders import REGISTRY, Office, component, inspector, new_id, supervisor

ASKED = SnapshotRequest("grid:440304001")


async def test_writes_go_on_while_it_is_made(store: Store) -> None:
    """A snapshot and the deltas after it are together what pages bring, although records were written meanwhile."""
    office, reader = Office(store), inspector("li")
    made = [new_id() for _ in range(6)]
    versions: dict[uuid.UUID, int] = {}
    for record in made:
        await office.write(supervisor(), "component", record, component())
    async with store.reading() as tx:
        key = await key_of(tx, REGISTRY, reader, ASKED, office.now, 5)
        cursor = cursor_behind(key, await moment_of(tx), reader, ASKED, office.now)
        async for cut in cuts(tx, REGISTRY, key, office.now, block_records=2):
            versions.update((wire.id, wire.version) for wire in cut.records)
            if len(versions) == 2:
                await office.write(supervisor(), "component", made[0], {"remark": "改"}, base=1)
                await office.write(supervisor(), "component", made[-1], {"remark": "改"}, base=1)
                await office.write(supervisor(), "component", new_id(), component())
    async with store.reading() as tx:
        deltas = await pull(tx, REGISTRY, reader, PullRequest(loaded=[cursor]), office.now)
    versions.update((wire.id, wire.version) for wire in deltas.records)
    pages = await office.read(reader)
    assert len(deltas.records) == 3
    assert versions == {wire.id: wire.version for wire in pages.records}
