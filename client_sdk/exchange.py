"""One sync: send what waits, read what is new, have the work receipted and, once a day, the copies verified."""

import uuid
from collections import Counter
from collections.abc import Callable

import msgspec

from client_sdk.connection import Connection
from client_sdk.errors import Offline, ReceiptInvalid, Rejected, TooOld
from client_sdk.loading import SnapshotLoader, SnapshotUseless
from client_sdk.receipts import Receipts, Unknown
from client_sdk.reports import OnProgress, Progress, SyncReport, VerifyReport
from client_sdk.sessions import Sessions
from client_sdk.signed import Traffic
from client_sdk.store import exchanging, loading
from client_sdk.store.meta import Loading, Progressed
from client_sdk.store.thread import StoreThread, Tables
from client_sdk.verification import TooDifferent, Verification
from field_schemas.registry import Registry
from sync.authority import authority_tag
from sync.clock import DAY_MS, HybridClock, Milliseconds, TrustedClock
from sync.messages import (
    MAX_FETCH,
    MAX_PAGE,
    Change,
    FetchRequest,
    Outcome,
    PullRequest,
    PullResponse,
    PushRequest,
    PushResponse,
)
from sync.receipts import Receipt

_RENUMBERINGS = 3
_RESTARTS = 3
_SNAPSHOT_FAILURES = 2
"""After so many the rest of the sync goes by pages."""
_BATCH = 500
_PAGE = 5_000
_CURSOR_OF_NO_USE = ("cursor_invalid", "cursor_expired", "epoch_changed")


class _Restarted(Exception):
    """The server's contents are to be read from the beginning, and may lack own work."""


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
        self._replaced = replaced
        self._connection = connection
        self._sessions = sessions
        self._clock = clock
        self._stamps = stamps
        self._progress = progress
        # Of versions with the same form the server need not know the newest.
        self.types = dict(registry.forms)
        self._loader = SnapshotLoader(store, connection, self.types, self._tell_loaded)
        self._snapshot_failures = 0
        self._receipts = Receipts(store, connection, sessions)
        self._limit = _BATCH
        self._renumberings = _RENUMBERINGS
        self._verdicts: Counter[Outcome] = Counter()
        self._pulled = 0
        self._forgotten = 0
        self._along: PullResponse | None = None

    async def run(self, monotonic_ms: Milliseconds, *, verify: bool = False) -> SyncReport:
        """Push everything, pull to the end, and verify, when it is due or asked for.

        Raises Offline, SignInNeeded, Rejected, ReceiptInvalid; what was done stays done.
        """
        began = monotonic_ms()
        before = msgspec.structs.replace(self._connection.traffic)
        unknown: Unknown | None = None
        for _ in range(_RESTARTS):
            self._along = None
            try:
                await self._reconcile()
                behind = await self._push_what_is_understood()
                await self._pull_or_be_too_old()
                await self._have_receipted()
                verified = await self._verify(asked=verify)
            except _Restarted:
                # What was unknown before is no proof of a loss: the contents are read anew.
                unknown = None
            except Unknown as error:
                unknown = error
            else:
                if behind is not None:
                    raise behind
                return self._report(before, (monotonic_ms() - began) / 1000, verified)
        if unknown is not None:
            raise ReceiptInvalid("the server loses what it acknowledged") from unknown
        raise Offline("the server's contents change faster than they can be read")

    async def hand_in(self) -> None:
        """Send the last of a revoked device's work. Raises Offline, SignInNeeded, Rejected.

        With nothing to send it had no occasion to learn that the server's contents were replaced and lack its work.
        """
        await self._settle(await self._connection.push(PushRequest([])))
        await self._push_all()

    async def receipt(self) -> Receipt:
        """A receipt for all that was sent. Raises ReceiptInvalid, and as `run`."""
        for _ in range(_RESTARTS):
            try:
                return await self._receipts.ask()
            except Unknown:
                await self._push_all()
        raise ReceiptInvalid("the server loses what it acknowledged")

    async def _push_what_is_understood(self) -> Offline | None:
        """Push everything; why the rest has to wait where the server's program is too old for it: what the server has
        for the user need not wait for that."""
        try:
            await self._push_all()
        except Offline as error:
            if error.code != "server_behind":
                raise
            return error
        return None

    async def _pull_or_be_too_old(self) -> None:
        try:
            await self._pull_all()
        except TooOld:
            # What was sent before the update deserves its receipt too.
            await self._have_receipted()
            raise

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
        progressed = await self._store.run(_progressed)
        try:
            return await verification.run(progressed.scopes)
        except TooDifferent:
            await self._store.run(exchanging.start_over, progressed.epoch)
        pulled, forgotten = self._pulled, self._forgotten
        await self._pull_all()
        return verification.read_afresh(self._pulled - pulled, self._forgotten - forgotten)

    def _report(self, before: Traffic, seconds: float, verified: VerifyReport | None) -> SyncReport:
        after = self._connection.traffic
        return SyncReport(
            pushed=self._verdicts.total(),
            verdicts={str(outcome): count for outcome, count in self._verdicts.items()},
            pulled=self._pulled,
            forgotten=self._forgotten,
            bytes_sent=after.sent - before.sent,
            bytes_received=after.received - before.received,
            requests=after.requests - before.requests,
            seconds=seconds,
            verified=verified,
        )

    async def _push_all(self) -> None:
        total = await self._store.run(_pending_count)
        while batch := await self._store.run(_next_batch, self._limit):
            try:
                response = await self._connection.push(await self._request(batch))
            except Rejected as error:
                await self._adapt(error, batch)
                continue
            except Offline as error:
                if error.code != "server_behind" or len(batch) == 1:
                    raise
                # What comes before the change that has to wait need not wait.
                self._limit = len(batch) // 2
                continue
            await self._settle(response)
            self._tell(Progress("push", self._verdicts.total(), max(total, self._verdicts.total())))

    async def _request(self, batch: list[Change]) -> PushRequest:
        """The push of `batch`, which brings the first page along where nothing is left to push after it."""
        last = await self._store.run(_pending_count) == len(batch)
        return PushRequest(batch, await self._next_page() if last else None)

    async def _settle(self, response: PushResponse) -> None:
        self._along = response.page
        known = (await self._store.run(_progressed)).epoch
        self._verdicts.update(await self._store.run(exchanging.settle, response, self._clock.anchor))
        if known not in (None, response.epoch):
            self._along = None
            await self._start_over(None)
            await self._reconcile()

    async def _adapt(self, error: Rejected, batch: list[Change]) -> None:
        """Number the changes as the server expects, or send fewer at once; raise what neither helps against."""
        if error.expected is not None and self._renumberings:
            self._renumberings -= 1
            await self._store.run(exchanging.continue_from, error.expected)
        elif error.code in ("body_too_large", "batch_too_large") and len(batch) > 1:
            self._limit = len(batch) // 2
        else:
            raise error

    async def _reconcile(self) -> None:
        """Ask a server that was replaced up to where it holds this device's changes, and send the rest again."""
        progressed = await self._store.run(_progressed)
        if progressed.epoch is None and progressed.round:
            response = await self._connection.push(PushRequest([]))
            await self._store.run(exchanging.reconcile, response)

    async def _pull_all(self) -> None:
        more = True
        while more:
            page = await self._completed(await self._page())
            before = await self._store.run(_progressed)
            if before.epoch not in (None, page.epoch):
                await self._start_over(None)
                raise _Restarted
            await self._know_grants(page)
            self._stamps.observe(page.stamp)
            pulled = await self._store.run(exchanging.take_page, page, self._clock.anchor, self._stamps.last)
            self._pulled += pulled.received
            self._forgotten += pulled.forgotten
            self._tell(Progress("pull", self._pulled))
            more = page.more
            if page.offers or not more:
                await self._load(page.offers)

    async def _load(self, offers: list[str]) -> None:
        """Load a snapshot, or do without: what a part of one brought is of use only with all that follows it."""
        if not offers and await self._store.run(_loading) is None:
            return
        try:
            await self._loader.load(offers)
        except SnapshotUseless as error:
            self._snapshot_failures += 1
            if await self._store.run(loading.give_up):
                await self._store.run(_start_over)
                raise _Restarted from error

    async def _completed(self, page: PullResponse) -> PullResponse:
        """The page with those records whole that are of no use as they are, and with own work it leaves out."""
        lacking = await self._store.run(exchanging.lacking, page)
        if not lacking:
            return page
        records = [wire for wire in page.records if wire.id not in set(lacking)]
        forget = list(page.forget)
        for start in range(0, len(lacking), MAX_FETCH):
            request = FetchRequest(lacking[start : start + MAX_FETCH], self.types)
            fetched = await self._connection.fetch(request)
            records += fetched.records
            forget += fetched.forget
        return msgspec.structs.replace(page, records=records, forget=forget)

    async def _know_grants(self, page: PullResponse) -> None:
        """Fetch the user's grants when the server goes by others than this device knows."""
        account = self._sessions.account
        if account is not None and authority_tag(account.grants, page.server_ms) != page.authority:
            await self._sessions.take_grants(await self._connection.me())

    async def _next_page(self) -> PullRequest:
        progressed, begun = await self._store.run(_progressed), await self._store.run(_loading)
        return PullRequest(
            progressed.cursor,
            min(_PAGE, MAX_PAGE),
            types=self.types,
            deltas=True,
            snapshots=self._snapshot_failures < _SNAPSHOT_FAILURES,
            loaded=[begun.snapshot.cursor] if begun is not None and begun.is_complete else [],
        )

    async def _page(self) -> PullResponse:
        if self._along is not None:
            page, self._along = self._along, None
            return page
        progressed = await self._store.run(_progressed)
        try:
            return await self._connection.pull(await self._next_page())
        except Rejected as error:
            if progressed.cursor is None or error.code not in _CURSOR_OF_NO_USE:
                raise
            await self._start_over(None if error.code == "epoch_changed" else progressed.epoch)
            raise _Restarted from error

    async def _start_over(self, epoch: uuid.UUID | None) -> None:
        await self._store.run(exchanging.start_over, epoch)
        if epoch is None:
            self._replaced()

    def _tell_loaded(self, records: int, left: int) -> None:
        self._pulled += records
        self._tell(Progress("pull", self._pulled, self._pulled + left))

    def _tell(self, progress: Progress) -> None:
        if self._progress is not None:
            self._progress(progress)


def _pending_count(tables: Tables) -> int:
    return tables.outbox.pending_count()


def _next_batch(tables: Tables, limit: int) -> list[Change]:
    return tables.outbox.next_batch(limit)


def _verified_ms(tables: Tables) -> int | None:
    return tables.meta.verified_ms


def _set_verified_ms(tables: Tables, time_ms: int) -> None:
    tables.meta.verified_ms = time_ms


def _progressed(tables: Tables) -> Progressed:
    return tables.meta.progressed


def _loading(tables: Tables) -> Loading | None:
    return tables.meta.loading


def _start_over(tables: Tables) -> None:
    exchanging.start_over(tables, tables.meta.progressed.epoch)
