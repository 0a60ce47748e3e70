"""Who the device is and who is signed in, in memory and in the store."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from client_sdk.errors import SignInNeeded, UnsentWork
from client_sdk.identity import Identity
from client_sdk.store.meta import Account
from client_sdk.store.thread import StoreThread, Tables
from client_sdk.wire import Me, SessionResponse
from field_schemas.access import Grant
from sync.clock import TrustedClock

T = TypeVar("T")
_EARLY_MS = 30_000
"""A token is renewed this long before it expires, so that it does not expire on its way."""


class Sessions:
    """Copies in memory follow the store within its own operations, so cancelling cannot part them."""

    def __init__(self, store: StoreThread, clock: TrustedClock, identity: Identity, account: Account | None) -> None:
        self._store = store
        self._clock = clock
        self.identity = identity
        self.account = account

    async def begin(self, identity: Identity, response: SessionResponse) -> None:
        """Keep a new session. The store passes to the user on the device `identity`.

        Raises UnsentWork when the store holds unsent work of another user.
        """
        # Who has just given the password to a server believes that it is the one.
        account = self._account(response, response.server_key)
        await self._store.run(self._begin, msgspec.structs.replace(identity, user=account.user), account)

    async def renew(self, known: Account, response: SessionResponse) -> None:
        """Keep the new tokens and grants of the session that `known` is of.

        Raises SignInNeeded where that has ended meanwhile: nobody is signed in by an answer that comes too late.
        """
        # Who answers in the server's name later must have the key that was told at the sign-in.
        await self._store.run(self._renew, known, self._account(response, known.server_key or response.server_key))

    async def take_grants(self, me: Me) -> None:
        """Keep the grants the server told."""
        await self._store.run(self._take_grants, me.grants)

    async def end(self) -> None:
        """Forget the tokens; the user's records and unsent work stay."""
        await self._store.run(self._end)

    async def run_as(self, identity: Identity, operation: Callable[..., T], *args: object) -> T:
        """Run an operation of the store as `StoreThread.run` does, if the store is still that of `identity`.

        Raises SignInNeeded where it has passed to another user.
        """
        return await self._store.run(self._run_as, identity, operation, *args)

    async def wipe(self, identity: Identity) -> bool:
        """Remove everything from the store, which becomes that of the new device `identity`.

        Nothing happens while it holds unsent work; whether it was wiped.
        """
        return await self._store.run(self._wipe, identity)

    def _account(self, response: SessionResponse, server_key: str) -> Account:
        return Account(
            response.user,
            response.display_name,
            response.grants,
            response.access_token,
            self._clock.now_ms() + response.expires_in * 1000 - _EARLY_MS,
            response.refresh_token,
            server_key,
            response.media_digest,
            response.thresholds,
        )

    def _begin(self, tables: Tables, identity: Identity, account: Account) -> None:
        if self.identity.user not in (None, account.user):
            refuse_unsent(tables, self.identity)
            tables.wipe()
        if self.account is not None and self.account.server_key != account.server_key:
            # By the new key it cannot be checked.
            tables.meta.receipt = None
        tables.meta.identity = self.identity = identity
        self._save(tables, account)

    def _renew(self, tables: Tables, known: Account, renewed: Account) -> None:
        if self.account is None or self.account.refresh_token != known.refresh_token:
            raise SignInNeeded("token_missing", "the session was ended meanwhile")
        self._save(tables, renewed)

    def _run_as(self, tables: Tables, identity: Identity, operation: Callable[..., T], *args: object) -> T:
        if (self.identity.user, self.identity.device) != (identity.user, identity.device):
            raise SignInNeeded("token_missing", "another user has taken the device over")
        return operation(tables, *args)

    def _take_grants(self, tables: Tables, grants: tuple[Grant, ...]) -> None:
        if self.account is not None:
            self._save(tables, msgspec.structs.replace(self.account, grants=grants))

    def _end(self, tables: Tables) -> None:
        if self.account is not None:
            self._save(tables, msgspec.structs.replace(self.account, access_token="", expires_ms=0, refresh_token=""))

    def _wipe(self, tables: Tables, identity: Identity) -> bool:
        if tables.outbox.pending_count() or tables.media.waiting_count():
            return False
        tables.wipe()
        tables.meta.identity = self.identity = identity
        self.account = None
        return True

    def _save(self, tables: Tables, account: Account) -> None:
        tables.meta.account = account
        tables.meta.anchor = self._clock.anchor
        self.account = account


def refuse_unsent(tables: Tables, identity: Identity) -> None:
    """Raise UnsentWork when the store holds changes, or photos, of its user that the server does not hold."""
    if count := tables.outbox.pending_count() + tables.media.only_here_count():
        raise UnsentWork(identity.user or "", count)
