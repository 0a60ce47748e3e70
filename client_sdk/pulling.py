"""The reading part of a sync: pages and snapshots, until nothing is left to read."""

from collections.abc import Callable

import msgspec

from client_sdk.connection import Connection
from client_sdk.errors import Rejected
from client_sdk.loading import SnapshotLoader, SnapshotUseless
from client_sdk.reports import Progress
from client_sdk.sessions import Sessions
from client_sdk.store import asking, exchanging, loading
from client_sdk.store.exchanging import OtherContents
from client_sdk.store.thread import StoreThread, Tables
from sync.authority import authority_tag
from sync.clock import HybridClock, TrustedClock
from sync.messages import MAX_FETCH, MAX_PAGE, FetchRequest, PullRequest, PullResponse

_SNAPSHOT_FAILURES = 2
"""After so many the rest of the sync goes by pages."""
_PAGE = 5_000
_CURSOR_OF_NO_USE = ("cursor_invalid", "cursor_expired", "epoch_changed")


class Restarted(Exception):
    """The server's contents, which are the same, are to be read from the beginning."""


class Pulling:
    """Reads for one sync. `pulled` and `forgotten` count records; `along` is a page that a push brought along.

    `types` are those this program knows; `replaced` is called when the server's contents are others.
    """

    def __init__(
        self,
        store: StoreThread,
        connection: Connection,
        sessions: Sessions,
        types: dict[str, int],
        clock: TrustedClock,
        stamps: HybridClock,
        tell: Callable[[Progress], None],
        replaced: Callable[[], None],
    ) -> None:
        self._store = store
        self._connection = connection
        self._sessions = sessions
        self._types = types
        self._clock = clock
        self._stamps = stamps
        self._tell = tell
        self._replaced = replaced
        self._loader = SnapshotLoader(store, connection, types, self._tell_loaded)
        self._snapshot_failures = 0
        self.pulled = 0
        self.forgotten = 0
        self.along: PullResponse | None = None

    async def all(self) -> None:
        """Pull to the end. Raises Offline, SignInNeeded, Rejected, and Restarted or OtherContents where it is to be
        begun anew."""
        more = True
        while more:
            page = await self._completed(await self._page())
            before = await self._store.run(asking.progressed)
            if before.epoch not in (None, page.epoch):
                raise OtherContents
            await self._know_grants(page)
            self._stamps.observe(page.stamp)
            pulled = await self._store.run(exchanging.take_page, page, self._clock.anchor, self._stamps.last)
            self.pulled += pulled.received
            self.forgotten += pulled.forgotten
            self._tell(Progress("pull", self.pulled))
            more = page.more
            if page.offers or not more:
                await self._load(page.offers)

    async def next_page(self) -> PullRequest:
        """The request for the page that comes next."""
        progressed, begun = await self._store.run(asking.progressed), await self._store.run(asking.snapshot_begun)
        return PullRequest(
            progressed.cursor,
            min(_PAGE, MAX_PAGE),
            types=self._types,
            deltas=True,
            snapshots=self._snapshot_failures < _SNAPSHOT_FAILURES,
            loaded=[begun.snapshot.cursor] if begun is not None and begun.is_complete else [],
        )

    async def begin_with_others(self) -> None:
        """Have everything read from the beginning, from contents that are others."""
        await self._store.run(exchanging.start_over, None)
        self._replaced()

    async def _load(self, offers: list[str]) -> None:
        """Load a snapshot, or do without: what a part of one brought is of use only with all that follows it."""
        if not offers and await self._store.run(asking.snapshot_begun) is None:
            return
        try:
            await self._loader.load(offers)
        except SnapshotUseless as error:
            self._snapshot_failures += 1
            if await self._store.run(loading.give_up):
                await self._store.run(_start_over)
                raise Restarted from error

    async def _completed(self, page: PullResponse) -> PullResponse:
        """The page with those records whole that are of no use as they are, and with own work it leaves out."""
        lacking = await self._store.run(exchanging.lacking, page)
        if not lacking:
            return page
        fetched_whole = set(lacking)
        records = [wire for wire in page.records if wire.id not in fetched_whole]
        forget = list(page.forget)
        for start in range(0, len(lacking), MAX_FETCH):
            request = FetchRequest(lacking[start : start + MAX_FETCH], self._types)
            fetched = await self._connection.fetch(request)
            exchanging.expect(fetched.epoch, of=page.epoch)
            records += fetched.records
            forget += fetched.forget
        return msgspec.structs.replace(page, records=records, forget=forget)

    async def _know_grants(self, page: PullResponse) -> None:
        """Fetch the user's grants when the server goes by others than this device knows."""
        account = self._sessions.account
        if account is not None and authority_tag(account.grants, page.server_ms) != page.authority:
            await self._sessions.take_grants(await self._connection.me())

    async def _page(self) -> PullResponse:
        if self.along is not None:
            page, self.along = self.along, None
            return page
        progressed = await self._store.run(asking.progressed)
        try:
            return await self._connection.pull(await self.next_page())
        except Rejected as error:
            if progressed.cursor is None or error.code not in _CURSOR_OF_NO_USE:
                raise
            if error.code == "epoch_changed":
                raise OtherContents from error
            await self._store.run(_start_over)
            raise Restarted from error

    def _tell_loaded(self, records: int, left: int) -> None:
        self.pulled += records
        self._tell(Progress("pull", self.pulled, self.pulled + left))


def _start_over(tables: Tables) -> None:
    exchanging.start_over(tables, tables.meta.progressed.epoch)
