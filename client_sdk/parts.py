"""What a device is made of, put together from its store."""

import asyncio
from pathlib import Path

import msgspec

from client_sdk.clocks import Clocks
from client_sdk.sessions import Sessions
from client_sdk.store.media_files import drop_unfinished, folder_of
from client_sdk.store.meta import Meta
from client_sdk.store.opening import open_store
from client_sdk.store.rescue import RescueReport
from client_sdk.store.thread import StoreThread, Tables
from client_sdk.store.upgrading import upgrade
from field_schemas.registry import Registry
from sync.clock import HybridClock, TrustedClock
from sync.ids import RandomBytes


class Parts(msgspec.Struct, frozen=True):
    """An open store, the file `path`, with the device's identity, clocks and record types."""

    path: Path
    store: StoreThread
    meta: Meta
    registry: Registry
    sessions: Sessions
    clock: TrustedClock
    stamps: HybridClock
    clocks: Clocks
    random_bytes: RandomBytes
    rescue: RescueReport | None
    unsent_media: bool


async def assemble(
    store: StoreThread, path: Path, registry: Registry, clocks: Clocks, random_bytes: RandomBytes
) -> Parts:
    """Open the store at `path`, rescuing what can be rescued when it is damaged. Raises StoreInUse."""
    rescued: list[RescueReport] = []

    def opening() -> Tables:
        tables, report = open_store(path, registry, clocks.wall_ms(), random_bytes)
        rescued.extend([report] if report else [])
        return tables

    try:
        await store.open(opening)
        return await store.run(_restored, path, store, clocks, random_bytes, rescued[0] if rescued else None)
    except BaseException:
        await asyncio.shield(store.close())
        raise


def _restored(
    tables: Tables,
    path: Path,
    store: StoreThread,
    clocks: Clocks,
    random_bytes: RandomBytes,
    rescue: RescueReport | None,
) -> Parts:
    upgrade(tables)
    # What was left over when the device was killed.
    drop_unfinished(folder_of(path))
    tables.to_sweep = True
    clock = TrustedClock(clocks.wall_ms, clocks.monotonic_ms, clocks.boot, tables.meta.anchor)
    identity, _, _ = tables.meta.identity, tables.meta.receipt, tables.meta.unindexed
    if identity is None:
        raise RuntimeError("opening gives every store an identity")
    return Parts(
        path=path,
        store=store,
        meta=tables.meta,
        registry=tables.registry,
        sessions=Sessions(store, clock, identity, tables.meta.account),
        clock=clock,
        stamps=HybridClock(clock.now_ms, tables.meta.stamp),
        clocks=clocks,
        random_bytes=random_bytes,
        rescue=rescue,
        unsent_media=bool(tables.media.wanted_files()),
    )
