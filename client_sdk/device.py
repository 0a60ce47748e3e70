"""The device: open its store, sign in once, work offline with typed records, sync when there is a network."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from client_sdk.background import keep_synced
from client_sdk.clocks import Clocks, system_clocks
from client_sdk.connection import Connection
from client_sdk.errors import DeviceError, Offline, ReceiptInvalid, Rejected, TooOld, Wiped
from client_sdk.exchange import Exchange
from client_sdk.histories import HistoryItem, items_of
from client_sdk.identity import Identity, new_identity
from client_sdk.live import Line
from client_sdk.media.addresses import Addresses
from client_sdk.media.device import MediaDevice
from client_sdk.media.sending import OnWifi, keep_sending
from client_sdk.parts import Parts, assemble
from client_sdk.reports import OnProgress, OnStatus, Status, SyncReport, SyncState, VerifyReport
from client_sdk.sessions import refuse_unsent
from client_sdk.signed import SignedCalls
from client_sdk.store import asking, exchanging
from client_sdk.store.thread import StoreThread
from client_sdk.turn import Turn
from field_schemas.record import Record
from field_schemas.registry import Registry, load_types
from sync.ids import RandomBytes
from sync.messages import FetchRequest
from sync.receipts import Receipt

_log = logging.getLogger(__name__)


class Device(MediaDevice):
    """One phone with its store; open it with `Device.open`.

    Local work never waits for the network. A call that is cancelled happened wholly or not at all.
    """

    def __init__(
        self, parts: Parts, connection: Connection, addresses: Addresses, on_wifi: OnWifi | None, model: str | None
    ) -> None:
        super().__init__(parts, connection, addresses, on_wifi, model)
        self._turn = Turn()
        self._signing_in = asyncio.Lock()
        self._observers: list[OnStatus] = []
        self._indexing = asyncio.create_task(self._index_beside())
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
        make_store: Callable[[Path], StoreThread] = StoreThread,
        on_wifi: OnWifi | None = None,
        model: str | None = None,
    ) -> AsyncIterator["Device"]:
        """The device whose store is the file `path` (made if it does not exist) and whose server is at `server`.

        `on_wifi` says whether the network at hand costs nothing, see `wifi_only`; `model` is what the phone's camera
        writes into photos as its make and model, to be compared with them. A damaged store is set aside and its
        unsent work rescued, see `rescue`. Raises StoreInUse, StoreTooNew, StoreUnusable.
        """
        store = make_store(Path(path))
        parts = await assemble(store, Path(path), registry or load_types(), clocks or system_clocks(), random_bytes)
        calls = SignedCalls(server, transport, parts.sessions, parts.clock, parts.clocks, random_bytes)
        connection = Connection(calls)
        addresses = Addresses(server, transport, connection)
        device = Device(parts, connection, addresses, on_wifi, model)
        try:
            yield device
        finally:
            try:
                device._indexing.cancel()
                await asyncio.gather(device._indexing, return_exceptions=True)
                await addresses.close()
                await connection.close()
            finally:
                await parts.store.close()

    async def sign_in(self, user: str, password: str) -> None:
        """Sign in, once, online; enrols the device's key. Records and unsent work of the same user stay. A sync that
        is under way ends with SignInNeeded.

        Raises UnsentWork when another user's work waits in the store, Rejected (`credentials_wrong`,
        `account_locked`, `device_taken`, ...), Offline.
        """
        async with self._signing_in:
            await self._sign_in(user, password)

    async def _sign_in(self, user: str, password: str) -> None:
        identity = self._parts.sessions.identity
        if identity.user not in (None, user):
            await self._store.run(refuse_unsent, identity)
            identity = self._new_identity()
        try:
            response = await self._connection.sign_in(identity, user, password, self._model)
        except Rejected as error:
            if error.code != "device_taken" or identity.user is not None:
                raise
            # The store is a copy of one that somebody else has signed in on since.
            identity = self._new_identity()
            response = await self._connection.sign_in(identity, user, password, self._model)
        async with self._turn.replace():
            await self._parts.sessions.begin(identity, response)

    async def sign_out(self) -> None:
        """End the session. Records and unsent work stay for the next sign-in. Works offline too. A sync that is under
        way ends with SignInNeeded."""
        with contextlib.suppress(DeviceError):
            await self._connection.sign_out()
        async with self._turn.replace():
            await self._parts.sessions.end()

    async def sync(self, progress: OnProgress | None = None) -> SyncReport:
        """Send what waits, fetch what is new; once an hour get a receipt for what was sent, once a day verify all
        copies. Then send photos and videos, as far as the network carries them; see `media` for how that went.

        Raises Offline, SignInNeeded, Rejected, TooOld, ReceiptInvalid; nothing is lost then. Raises Wiped where the
        device was revoked: then everything was sent, and nothing is left in the store.
        """
        try:
            report = await self._sync(progress, verify=False)
        except TooOld:
            await self._send_media()
            raise
        await self._send_media()
        return report

    async def verify(self, progress: OnProgress | None = None) -> VerifyReport:
        """Sync, prove all copies equal to the server's, and repair those that are not. Raises as `sync`."""
        report = await self._sync(progress, verify=True)
        if report.verified is None:
            raise RuntimeError("a verification that was asked for is reported")
        return report.verified

    async def receipt(self) -> Receipt:
        """The server's signed word that it holds all changes this device has sent: to be shown when a shift ends.

        Raises ReceiptInvalid, Offline, SignInNeeded, Rejected.
        """
        async with self._turn.exchange():
            return await self._exchange(None).receipt()

    async def history(self, record: Record) -> list[HistoryItem]:
        """Who changed what of `record`, when, from which device, with what verdict; oldest first. Needs the network.

        Raises Offline, SignInNeeded, Rejected (`record_unknown`).
        """
        identity = self._parts.sessions.identity
        response = await self._connection.history(record.id)
        items = items_of(self._parts.registry, response)
        row = await self._store.run(asking.record, record.id)
        if row is not None and row.version < max((item.version for item in items), default=0):
            # What is undone later must be here.
            fetched = await self._connection.fetch(FetchRequest([record.id], self._exchange(None).types))
            with contextlib.suppress(exchanging.OtherContents):
                await self._parts.sessions.run_as(identity, exchanging.take_newer, fetched)
        return items

    @asynccontextmanager
    async def background(self, interval_s: float = 60.0) -> AsyncIterator[None]:
        """Keep in sync while the context is open; see `status` for how that goes.

        The device syncs each `interval_s` seconds, a second or two after a local write, and as soon as the server
        says that there is something new. While the server can say so it polls less often.
        """
        task = asyncio.create_task(self._keep_synced(interval_s))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _send_media(self) -> None:
        """Send what is due, unless that is going on already. What does not get through waits: records did."""
        if not self._sender.running:
            with contextlib.suppress(DeviceError):
                await self._sender.run(self._turn.lock)

    async def _keep_synced(self, interval_s: float) -> None:
        sleep, random_bytes = self._parts.clocks.sleep, self._parts.random_bytes
        line = Line(self._connection, self._pending_count, self._wrote, sleep, random_bytes)

        async def sync() -> None:
            line.synced(well=False)
            try:
                await self._sync(None, verify=False)
            except (Rejected, ReceiptInvalid):
                # The network is there, whatever else is wrong.
                self._media_woken.set()
                raise
            line.synced(well=True)
            self._media_woken.set()

        sending = keep_sending(self._sender, self._turn.lock, self._media_woken, interval_s, sleep, random_bytes)
        beside = [asyncio.create_task(line.listen()), asyncio.create_task(sending)]
        try:
            await keep_synced(sync, lambda: line.rest(interval_s), sleep, random_bytes)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _pending_count(self) -> int:
        return await self._store.run(asking.pending_count)

    def observe(self, observer: OnStatus) -> Callable[[], None]:
        """Call `observer` with each new status; the function returned ends that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    async def _sync(self, progress: OnProgress | None, *, verify: bool) -> SyncReport:
        async with self._turn.exchange():
            before = self.status
            self._show(Status(SyncState.SYNCING, before.report))
            try:
                report = await self._synced(progress, verify=verify)
            except Exception as error:
                self._show(Status(_state_after(error), before.report, error))
                raise
            except BaseException:
                self._show(before)
                raise
            finally:
                if self._indexing.done():
                    self._indexing = asyncio.create_task(self._index_beside())
            self._show(Status(SyncState.IDLE, report))
            return report

    async def _index_beside(self) -> None:
        """Index texts while the user goes on. What hinders that is met again by the next search, or sync."""
        try:
            await self._index_texts()
        except Exception:
            _log.exception("indexing broke off")

    async def _synced(self, progress: OnProgress | None, *, verify: bool) -> SyncReport:
        parts = self._parts
        exchange = self._exchange(progress)
        try:
            return await exchange.run(parts.clocks.monotonic_ms, verify=verify)
        except Rejected as error:
            if error.code != "device_revoked":
                raise
            await exchange.hand_in()
            await self._sender.run(None, whatever_rules=True)
            if not await parts.sessions.wipe(self._new_identity()):
                raise
            raise Wiped(error.detail) from error

    def _new_identity(self) -> Identity:
        return new_identity(self._parts.clock.now_ms(), self._parts.random_bytes)

    def _show(self, status: Status) -> None:
        self.status = status
        for observer in tuple(self._observers):
            try:
                observer(status)
            except Exception:
                _log.exception("an observer of the sync status failed")

    def _exchange(self, progress: OnProgress | None) -> Exchange:
        parts = self._parts
        return Exchange(
            parts.store,
            self._connection,
            parts.sessions,
            parts.registry,
            parts.clock,
            parts.stamps,
            progress,
            replaced=self._sender.expect,
        )


def _state_after(error: Exception) -> SyncState:
    match error:
        case Offline():
            return SyncState.OFFLINE
        case TooOld():
            return SyncState.TOO_OLD
        case Wiped():
            return SyncState.WIPED
    return SyncState.FAILED
