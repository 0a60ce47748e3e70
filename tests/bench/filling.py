"""Filling a store with a city's components, many at once, each with the log entry and feed entries it would have."""

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from client_sdk.torture.wire import LoadDevice, now_ms
from field_schemas.access import Grant, Role
from field_schemas.registry import load_types
from field_schemas.scopes import feeds_of
from server.storage.database import open_database
from sync.authority import Actor
from sync.decision import Submission
from sync.ids import uuid7
from sync.push import push
from sync.storage import FeedRow, LoggedChange, Store, StoredRecord, WriteBatch

DISTRICT = "440304"
GRIDS = 1_000
_ROWS = 10_000
_MADE_MS = 1_780_000_000_000
_A_MS = 4
"""Components made in a millisecond: their ids grow as those of devices do."""


class Filled(msgspec.Struct, frozen=True):
    """A store's contents: its components 0 to `count`, with the versions they were given."""

    count: int
    first_versions: list[int]

    def component(self, number: int) -> tuple[uuid.UUID, int]:
        """Id and version of a component."""
        return record_id(number), self.first_versions[number // _ROWS] + number % _ROWS


class _Model(NamedTuple):
    record: StoredRecord
    change: LoggedChange


def component_fields(number: int) -> Mapping[str, Any]:
    """Fields of a component, in one of GRIDS grids."""
    grid = f"{DISTRICT}{number % GRIDS // 100 + 1:03}{number % 100 // 10 + 1:03}{number % 10 + 1:03}"
    return {
        "code": f"{grid[:6]}0102{number % 1_000_000:06}",
        "kind": "0102",
        "grid": grid,
        "place": {"lon": 114.0391, "lat": 22.5518, "accuracy_m": 6.0},
        "name": "雨水井盖，香梅路与红荔路交叉口东南角",
        "condition": "good",
        "material": "球墨铸铁",
        "address": "香梅路与红荔路交叉口东南角",
    }


def record_id(number: int) -> uuid.UUID:
    """The id of a component."""
    return _id(_MADE_MS + number // _A_MS, b"record", number)


async def fill(url: str, count: int) -> Filled:
    """Put `count` components and GRIDS more into an initialised store: those are pushed, the others like them."""
    database = open_database(url, 1)
    filled = Filled(count, [])
    try:
        models = await _models(database.store)
        for start in range(0, count, _ROWS):
            await _write(database.store, models, filled, range(start, min(start + _ROWS, count)))
        if database.engine.dialect.name == "postgresql":
            await _settle(database.engine)
    finally:
        await database.close()
    return filled


async def _models(store: Store) -> list[_Model]:
    device = LoadDevice("http://nowhere", "filler")
    changes = [device.change("component", dict(component_fields(number))) for number in range(GRIDS)]
    actor = Actor("filler", device.id, (Grant(f"grid:{DISTRICT}", Role.SUPERVISOR),))
    async with store.writing() as tx:
        await push(tx, load_types(), [Submission(actor, changes, now_ms())])
    async with store.reading() as read:
        records = await read.records([change.record for change in changes])
        logged = await read.changes([change.id for change in changes])
    return [_Model(records[change.record], logged[change.id]) for change in changes]


async def _write(store: Store, models: list[_Model], filled: Filled, numbers: range) -> None:
    async with store.writing() as tx:
        first = await tx.reserve_versions(len(numbers))
        filled.first_versions.append(first)
        batch = WriteBatch([], [], [], [], {})
        for version, number in enumerate(numbers, first):
            model, record = models[number % GRIDS], record_id(number)
            change = _id(_MADE_MS + number // _A_MS, b"change", number)
            batch.records.append(replace(model.record, id=record, version=version, tx=tx.tx))
            batch.changes.append(replace(model.change, id=change, record=record, version=version))
            batch.feed_added += [FeedRow(key, tx.tx, version, record, False) for key in feeds_of(model.record.scopes)]
        await tx.write(batch)


def _id(time_ms: int, kind: bytes, number: int) -> uuid.UUID:
    seed = number.to_bytes(8, "big")
    return uuid7(time_ms, lambda count: hashlib.blake2b(seed, digest_size=count, person=kind).digest())


async def _settle(engine: AsyncEngine) -> None:
    """What PostgreSQL would do by and by after so many new rows, done now: it shall not happen while measuring."""
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("VACUUM ANALYZE"))
        await connection.execute(text("CHECKPOINT"))
