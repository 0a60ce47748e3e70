"""One sync: send what waits, read what is new, have the work receipted and, once a day, the copies verified."""

from collections.abc import Callable

import msgspec

from client_sdk.connection import Connection
from client_sdk.errors import Offline, ReceiptInvalid, TooOld
from client_sdk.pulling import Pulling, Restarted
from client_sdk.pushing import Pushing
from client_sdk.receipts import Receipts, Unknown
from client_sdk.reports import OnProgress, Progress, SyncReport, VerifyReport
from client_sdk.sessions import Sessions
from client_sdk.signed import Traffic
from client_sdk.store import asking, exchanging
from client_sdk.store.exchanging import OtherContents
from client_sdk.store.thread import StoreThread, Tables
from client_sdk.verification import TooDifferent, Verification
from field_schemas.registry import Registry
from sync.clock import DAY_MS, HybridClock, Milliseconds, TrustedClock
from sync.receipts import Receipt

_RESTARTS = 3


class Exchange:
    """The state of one sync from start to report; `replaced` is called when the server's contents are others."""

    def __init__(
        self,
        store: StoreThread,
        connection: Connection,
        sessions: Sessions,
        registry: Registry,
        clock: TrustedClock,
        stamps: HybridClock,
        progress: OnProgress | None,
        replaced: Callable[[], None],
    ) -> None:
        self._store = store
        self._connection = connection
        self._clock = clock
        self._progress = progress
        # Of versions with the same form the server need not know the newest.
        self.types = dict(registry.forms)
        self._pull = Pulling(store, connection, sessions, self.types, clock, stamps, self._tell, replaced)
        self._push = Pushing(store, connection, clock, self._pull, self._tell)
        self._receipts = Receipts(store, connection, sessions)

    async def run(self, monotonic_ms: Milliseconds, *, verify: bool = False) -> SyncReport:
        """Push everything, pull to the end, and verify, when it is due or asked for.

        Raises Offline, SignInNeeded, Rejected, ReceiptInvalid; what was done stays done.
        """
        began = monotonic_ms()
        before = msgspec.structs.replace(self._connection.traffic)
        unknown: Unknown | None = None
        for _ in range(_RESTARTS):
            self._pull.along = None
            try:
                await self._push.reconcile()
                behind = await self._push.what_is_understood()
                await self._pull_or_be_too_old()
                invalid = await self._what_is_wrong_with_the_receipt()
                verified = await self._verify(asked=verify)
            except Restarted:
                # What was unknown before is no proof of a loss: the contents are read anew.
                unknown = None
            except OtherContents:
                unknown = None
                await self._pull.begin_with_others()
            except Unknown as error:
                unknown = error
            else:
                if (trouble := invalid or behind) is not None:
                    raise trouble
                return self._report(before, (monotonic_ms() - began) / 1000, verified)
        if unknown is not None:
            raise ReceiptInvalid("the server loses what it acknowledged") from unknown
        raise Offline("the server's contents change faster than they can be read")

    async def hand_in(self) -> None:
        """Send the last of a revoked device's work. Raises Offline, SignInNeeded, Rejected.

        With nothing to send it had no occasion to learn that the server's contents were replaced and lack its work.
        """
        await self._push.ask_what_is_held()
        await self._push.all()

    async def receipt(self) -> Receipt:
        """A receipt for all that was sent. Raises ReceiptInvalid, and as `run`."""
        for _ in range(_RESTARTS):
            try:
                return await self._receipts.ask()
            except Unknown:
                await self._push.all()
        raise ReceiptInvalid("the server loses what it acknowledged")

    async def _pull_or_be_too_old(self) -> None:
        try:
            await self._pull.all()
        except TooOld:
            # What was sent before the update deserves its receipt too.
            await self._have_receipted()
            raise

    async def _what_is_wrong_with_the_receipt(self) -> ReceiptInvalid | None:
        """Have the work receipted: a receipt that is not right is told of when the copies are compared too."""
        try:
            await self._have_receipted()
        except ReceiptInvalid as error:
            return error
        return None

    async def _have_receipted(self) -> None:
        if await self._receipts.due(self._clock.now_ms()):
            await self._receipts.ask()

    async def _verify(self, *, asked: bool) -> VerifyReport | None:
        now = self._clock.now_ms()
        last = await self._store.run(_verified_ms)
        # What has just been read for the first time needs no comparing.
        due = last is not None and not last <= now < last + DAY_MS
        report = await self._verified() if due or asked else None
        if report is not None or last is None:
            await self._store.run(_set_verified_ms, now)
        return report

    async def _verified(self) -> VerifyReport:
        verification = Verification(self._store, self._connection, self.types, self._tell)
        progressed = await self._store.run(asking.progressed)
        try:
            return await verification.run(progressed.scopes)
        except TooDifferent:
            await self._store.run(exchanging.start_over, progressed.epoch)
        pulled, forgotten = self._pull.pulled, self._pull.forgotten
        await self._pull.all()
        return verification.read_afresh(self._pull.pulled - pulled, self._pull.forgotten - forgotten)

    def _report(self, before: Traffic, seconds: float, verified: VerifyReport | None) -> SyncReport:
        after = self._connection.traffic
        return SyncReport(
            pushed=self._push.verdicts.total(),
            verdicts={str(outcome): count for outcome, count in self._push.verdicts.items()},
            pulled=self._pull.pulled,
            forgotten=self._pull.forgotten,
            bytes_sent=after.sent - before.sent,
            bytes_received=after.received - before.received,
            requests=after.requests - before.requests,
            seconds=seconds,
            verified=verified,
        )

    def _tell(self, progress: Progress) -> None:
        if self._progress is not None:
            self._progress(progress)


def _verified_ms(tables: Tables) -> int | None:
    return tables.meta.verified_ms


def _set_verified_ms(tables: Tables, time_ms: int) -> None:
    tables.meta.verified_ms = time_ms
