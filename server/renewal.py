"""A new identity for contents that came from a backup: every device notices, fetches afresh and sends what lacks."""

import uuid

from sqlalchemy import text, update

from server.accounts.tables import devices
from server.storage.database import Database

SKIP_VERSIONS = 2**32
"""Versions that are never given: more than the contents that were lost can have used."""


class ServersConnected(Exception):
    """Server processes are connected to the PostgreSQL database."""


async def renew_epoch(database: Database, epoch: uuid.UUID) -> None:
    """Make `epoch` the identity of the contents.

    No server may be connected: it would go on by the numbers of before. Raises ServersConnected where that can be
    told (PostgreSQL).
    """
    await _refuse_servers(database)
    async with database.engine.begin() as connection:
        # What devices had read was said in the old numbers.
        await connection.execute(update(devices).values(read_tx=None, read_version=None))
    async with database.store.writing() as tx:
        await tx.renew(epoch, SKIP_VERSIONS)


async def _refuse_servers(database: Database) -> None:
    if database.engine.dialect.name != "postgresql":
        return
    others = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'gridwalk' AND pid <> pg_backend_pid()"
    )
    async with database.engine.connect() as connection:
        if (await connection.execute(others)).scalar_one():
            raise ServersConnected
