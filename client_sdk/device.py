"""The device: open its store, sign in once, work offline with typed records, sync when there is a network."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from client_sdk.background import keep_synced
from client_sdk.clocks import Clocks, system_clocks
from client_sdk.connection import Connection
from client_sdk.errors import DeviceError, Offline
from client_sdk.exchange import Exchange
from client_sdk.identity import new_identity
from client_sdk.local import LocalDevice
from client_sdk.parts import Parts, assemble
from client_sdk.reports import OnProgress, OnStatus, Status, SyncReport, SyncState
from client_sdk.sessions import refuse_unsent
from field_schemas.registry import Registry, load_types
from sync.ids import RandomBytes


class Device(LocalDevice):
    """One phone with its store; open it with `Device.open`.

    Local work never waits for the network. A call that is cancelled happened wholly or not at all.
    """

    def __init__(self, parts: Parts, connection: Connection) -> None:
        super().__init__(parts)
        self._connection = connection
        self._syncing = asyncio.Lock()
        self._observers: list[OnStatus] = []
        self.status = Status(SyncState.IDLE)

    @staticmethod
    @asynccontextmanager
    async def open(
        path: str | os.PathLike[str],
        *,
        server: str,
        registry: Registry | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clocks: Clocks | None = None,
        random_bytes: RandomBytes = os.urandom,
    ) -> AsyncIterator["Device"]:
        """The device whose store is the file `path` (made if it does not exist) and whose server is at `server`.

        A damaged store is set aside and its unsent work rescued, see `rescue`. Raises StoreInUse.
        """
        parts = await assemble(Path(path), registry or load_types(), clocks or system_clocks(), random_bytes)
        connection = Connection(server, transport, parts.sessions, parts.clock, parts.clocks, random_bytes)
        try:
            yield Device(parts, connection)
        finally:
            try:
                await connection.close()
            finally:
                await parts.store.close()

    async def sign_in(self, user: str, password: str) -> None:
        """Sign in, once, online; enrols the device's key. Records and unsent work of the same user stay.

        Raises UnsentWork when another user's work waits in the store, Rejected (`credentials_wrong`,
        `account_locked`, `device_taken`, `device_revoked`, ...), Offline.
        """
        sessions = self._parts.sessions
        identity = sessions.identity
        if identity.user not in (None, user):
            await self._store.run(refuse_unsent, identity)
            identity = new_identity(self._parts.clock.now_ms(), self._parts.random_bytes)
        response = await self._connection.sign_in(identity, user, password)
        await sessions.begin(identity, response)

    async def sign_out(self) -> None:
        """End the session. Records and unsent work stay for the next sign-in. Works offline too."""
        with contextlib.suppress(DeviceError):
            await self._connection.sign_out()
        await self._parts.sessions.end()

    async def sync(self, progress: OnProgress | None = None) -> SyncReport:
        """Send what waits, then fetch what is new. Raises Offline, SignInNeeded, Rejected; nothing is lost then."""
        async with self._syncing:
            before = self.status
            self._show(Status(SyncState.SYNCING, before.report))
            try:
                report = await self._exchange(progress).run(self._parts.clocks.monotonic_ms)
            except Offline as error:
                self._show(Status(SyncState.OFFLINE, before.report, error))
                raise
            except DeviceError as error:
                self._show(Status(SyncState.FAILED, before.report, error))
                raise
            except BaseException:
                self._show(before)
                raise
            self._show(Status(SyncState.IDLE, report))
            return report

    @asynccontextmanager
    async def background(self, interval_s: float = 60.0) -> AsyncIterator[None]:
        """Sync each `interval_s` seconds while the context is open; see `status` for how that goes."""
        clocks = self._parts.clocks
        task = asyncio.create_task(keep_synced(self.sync, clocks.sleep, self._parts.random_bytes, interval_s))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def observe(self, observer: OnStatus) -> Callable[[], None]:
        """Call `observer` with each new status; the function returned ends that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def _show(self, status: Status) -> None:
        self.status = status
        for observer in tuple(self._observers):
            observer(status)

    def _exchange(self, progress: OnProgress | None) -> Exchange:
        parts = self._parts
        return Exchange(parts.store, self._connection, parts.sessions, parts.clock, parts.stamps, progress)
