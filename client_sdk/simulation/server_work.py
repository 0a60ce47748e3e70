"""What the server itself makes, writes and deletes, as imports and jobs do."""

import asyncio
import contextlib
import random
import uuid
from collections.abc import Callable

import msgspec

from client_sdk.simulation.database import Database
from client_sdk.simulation.locks import ConnectionLost
from client_sdk.simulation.material import GRIDS
from client_sdk.simulation.server import Server
from client_sdk.simulation.transactions import SimulatedStore
from sync.authority import SERVER
from sync.clock import Captured, stamp_at
from sync.decision import Submission
from sync.messages import Change
from sync.push import push
from sync.storage import Collision, StoredRecord

FEW_RECORDS = 4


class ServerWork:
    """Writes in the name of the server, by the program that `server` runs."""

    def __init__(self, server: Server, database: Database, now_ms: Callable[[], int]) -> None:
        self._server = server
        self._database = database
        self._now_ms = now_ms

    async def write_field(self, rng: random.Random) -> None:
        """Write the field that only it may write."""
        samples = self._samples()
        if samples:
            await self._push(rng, "sample", rng.choice(samples).id, {"server": f"{rng.randrange(1000)}"})

    async def delete(self, rng: random.Random) -> None:
        """Delete a record, unless there are few."""
        samples = self._samples()
        if len(samples) > FEW_RECORDS:
            one = rng.choice(samples)
            await self._push(rng, one.type, one.id, {}, deletes_at=one.version)

    async def make(self, rng: random.Random, record_type: str, fields: dict[str, str]) -> None:
        """Make a record."""
        key = uuid.UUID(int=rng.getrandbits(128), version=4)
        await self._push(rng, record_type, key, {"grid": rng.choice(GRIDS[:2])} | fields)

    def _samples(self) -> list[StoredRecord]:
        records = self._database.state.records.values()
        return [one for one in records if one.type == "sample" and not one.deleted]

    async def _push(
        self, rng: random.Random, record_type: str, record: uuid.UUID, values: dict[str, str], deletes_at: int = 0
    ) -> None:
        store = SimulatedStore(self._database, lambda: asyncio.sleep(rng.random() * 0.2))
        registry = self._server.program.registry
        spec, now = registry.get(record_type), self._now_ms()
        change = Change(
            id=uuid.UUID(int=rng.getrandbits(128), version=4),
            seq=1,
            type=spec.name,
            record=record,
            stamp=stamp_at(now),
            captured=Captured(now, now, 0),
            fields=msgspec.Raw(spec.patch(values)),
            type_version=spec.version,
            base=deletes_at,
            delete=deletes_at > 0,
        )
        with contextlib.suppress(Collision, ConnectionLost):
            async with store.writing() as tx:
                await push(tx, registry, [Submission(SERVER, [change], now)])
