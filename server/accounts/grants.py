"""Grants: which role an account holds where and when. A grant is never deleted: sync judges by time."""

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from field_schemas.access import Grant, Role
from server.accounts.rules import check_duties, check_period, check_scope, role_of
from server.accounts.tables import grants
from server.accounts.users import require_user
from server.storage.database import Database
from sync.clock import Milliseconds
from sync.errors import SyncError


class GivenGrant(msgspec.Struct, frozen=True):
    """A grant with its number and holder."""

    id: int
    user: str
    grant: Grant


class Grants:
    """The grants in a database."""

    def __init__(self, database: Database, now_ms: Milliseconds) -> None:
        self._database = database
        self._now_ms = now_ms

    async def give(
        self, user: str, role: str, scope: str, valid_from: int | None = None, valid_until: int | None = None
    ) -> int:
        """Grant `role` in `scope` from `valid_from` (None: now) up to `valid_until`, UTC ms; the grant's number.

        Raises SyncError `parameter_invalid`, `user_unknown` or `duties_separate`.
        """
        check_scope(scope)
        grant = Grant(scope, role_of(role), self._now_ms() if valid_from is None else valid_from, valid_until)
        check_period(grant.valid_from, valid_until)
        async with self._database.engine.begin() as connection:
            await require_user(connection, user)
            check_duties((given.grant for given in await _grants(connection, user)), grant)
            adding = insert(grants).values(user_id=user, **msgspec.structs.asdict(grant)).returning(grants.c.id)
            return int((await connection.execute(adding)).scalar_one())

    async def end(self, grant_id: int) -> None:
        """End a grant now; one that has ended stays as it is. Raises SyncError `not_found`."""
        now = self._now_ms()
        async with self._database.engine.begin() as connection:
            number = grants.c.id == grant_id
            still_open = grants.c.valid_until.is_(None) | (grants.c.valid_until > now)
            await connection.execute(update(grants).where(number, still_open).values(valid_until=now))
            if (await connection.execute(select(grants.c.id).where(number))).first() is None:
                raise SyncError("not_found", f"there is no grant {grant_id}")

    async def of(self, user: str | None = None) -> list[GivenGrant]:
        """All grants ever given, to `user` or to everyone, by number."""
        async with self._database.read_engine.connect() as connection:
            return await _grants(connection, user)


async def _grants(connection: AsyncConnection, user: str | None) -> list[GivenGrant]:
    query = select(grants).order_by(grants.c.id)
    if user is not None:
        query = query.where(grants.c.user_id == user)
    return [
        GivenGrant(row.id, row.user_id, Grant(row.scope, Role(row.role), row.valid_from, row.valid_until))
        for row in await connection.execute(query)
    ]
