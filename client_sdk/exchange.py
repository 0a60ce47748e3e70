"""One sync: send what waits, then read what is new."""

from collections import Counter

import msgspec

from client_sdk.connection import Connection, Traffic
from client_sdk.errors import Offline, Rejected
from client_sdk.reports import OnProgress, Progress, SyncReport
from client_sdk.sessions import Sessions
from client_sdk.store import exchanging
from client_sdk.store.meta import Progressed
from client_sdk.store.thread import StoreThread, Tables
from sync.clock import HybridClock, Milliseconds, TrustedClock
from sync.messages import MAX_PAGE, Change, Outcome, PullRequest, PullResponse, PushRequest, PushResponse

_RENUMBERINGS = 3
_RESTARTS = 3
_BATCH = 500
_PAGE = 5_000


class _Restarted(Exception):
    """The server's contents were replaced while reading; start over."""


class Exchange:
    """The state of one sync from start to report."""

    def __init__(
        self,
        store: StoreThread,
        connection: Connection,
        sessions: Sessions,
        clock: TrustedClock,
        stamps: HybridClock,
        progress: OnProgress | None,
    ) -> None:
        self._store = store
        self._connection = connection
        self._sessions = sessions
        self._clock = clock
        self._stamps = stamps
        self._progress = progress
        self._limit = _BATCH
        self._renumberings = _RENUMBERINGS
        self._verdicts: Counter[Outcome] = Counter()
        self._pulled = 0
        self._forgotten = 0

    async def run(self, monotonic_ms: Milliseconds) -> SyncReport:
        """Push everything, then pull to the end. Raises Offline, SignInNeeded, Rejected; what was done stays done."""
        began = monotonic_ms()
        before = msgspec.structs.replace(self._connection.traffic)
        for _ in range(_RESTARTS):
            try:
                await self._push_all()
                await self._pull_all()
            except _Restarted:
                await self._reconcile()
            else:
                return self._report(before, self._connection.traffic, (monotonic_ms() - began) / 1000)
        raise Offline("the server's contents change faster than they can be read")

    def _report(self, before: Traffic, after: Traffic, seconds: float) -> SyncReport:
        return SyncReport(
            pushed=self._verdicts.total(),
            verdicts={str(outcome): count for outcome, count in self._verdicts.items()},
            pulled=self._pulled,
            forgotten=self._forgotten,
            bytes_sent=after.sent - before.sent,
            bytes_received=after.received - before.received,
            requests=after.requests - before.requests,
            seconds=seconds,
        )

    async def _push_all(self) -> None:
        total = await self._store.run(_pending_count)
        while batch := await self._store.run(_next_batch, self._limit):
            try:
                response = await self._connection.push(PushRequest(batch))
            except Rejected as error:
                await self._adapt(error, batch)
                continue
            await self._settle(response)
            self._tell(Progress("push", self._verdicts.total(), max(total, self._verdicts.total())))

    async def _settle(self, response: PushResponse) -> None:
        known = (await self._store.run(_progressed)).epoch
        self._verdicts.update(await self._store.run(exchanging.settle, response, self._clock.anchor))
        if known not in (None, response.epoch):
            await self._store.run(exchanging.start_over, response.epoch)
            await self._continue_after(response.held)

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
        """Ask the replaced server up to where it holds this device's changes, and send the rest again."""
        response = await self._connection.push(PushRequest([]))
        await self._continue_after(response.held)

    async def _continue_after(self, held: int) -> None:
        await self._store.run(exchanging.continue_from, held + 1)

    async def _pull_all(self) -> None:
        more = True
        while more:
            page = await self._page()
            before = await self._store.run(_progressed)
            if before.epoch not in (None, page.epoch):
                await self._store.run(exchanging.start_over, page.epoch)
                raise _Restarted
            self._stamps.observe(page.stamp)
            pulled = await self._store.run(exchanging.take_page, page, self._clock.anchor, self._stamps.last)
            self._pulled += pulled.received
            self._forgotten += pulled.forgotten
            self._tell(Progress("pull", self._pulled))
            more = page.more
            if before.scopes and set(before.scopes) != set(page.scopes):
                await self._sessions.take_grants(await self._connection.me())

    async def _page(self) -> PullResponse:
        cursor = (await self._store.run(_progressed)).cursor
        try:
            return await self._connection.pull(PullRequest(cursor, min(_PAGE, MAX_PAGE)))
        except Rejected as error:
            if cursor is None or error.code not in ("cursor_invalid", "epoch_changed"):
                raise
            if error.code == "epoch_changed":
                await self._store.run(exchanging.start_over, None)
                raise _Restarted from error
        await self._store.run(exchanging.read_again)
        return await self._connection.pull(PullRequest(None, min(_PAGE, MAX_PAGE)))

    def _tell(self, progress: Progress) -> None:
        if self._progress is not None:
            self._progress(progress)


def _pending_count(tables: Tables) -> int:
    return tables.outbox.pending_count()


def _next_batch(tables: Tables, limit: int) -> list[Change]:
    return tables.outbox.next_batch(limit)


def _progressed(tables: Tables) -> Progressed:
    return tables.meta.progressed
