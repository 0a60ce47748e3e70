"""The storage contract (sync/storage.py), for grants: rules ask the store for those of anybody."""

from field_schemas.access import Grant, Role
from server.accounts.grants import Grants
from server.accounts.users import Users
from server.storage.database import open_database

NOW = 1_790_000_000_000


async def test_grants_of_anybody(database_url: str) -> None:
    """A transaction knows all grants of a user, ended ones too, and none of an unknown one."""
    database = open_database(database_url)
    try:
        await Users(database, lambda: NOW).create("li.na", "李娜", "a very long password")
        grants = Grants(database, lambda: NOW)
        await grants.give("li.na", "inspector", "grid:440304001", 5, 9)
        await grants.give("li.na", "supervisor", "dept:cg")
        async with database.store.reading() as tx:
            held = await tx.grants_of("li.na")
            assert await tx.grants_of("wu\x00") == ()
        assert held == (
            Grant("grid:440304001", Role.INSPECTOR, 5, 9),
            Grant("dept:cg", Role.SUPERVISOR, NOW, None),
        )
    finally:
        await database.close()
