"""The sending part of a sync: what waits in the outbox, in batches, and what the server says of it."""

import uuid
from collections import Counter
from collections.abc import Callable

from client_sdk.connection import Connection
from client_sdk.errors import Offline, Rejected
from client_sdk.pulling import Pulling
from client_sdk.reports import Progress
from client_sdk.store import asking, exchanging
from client_sdk.store.thread import StoreThread, Tables
from sync.clock import TrustedClock
from sync.messages import Change, Outcome, PushRequest, PushResponse

_RENUMBERINGS = 3
_BATCH = 500


class Pushing:
    """Sends for one sync, and has the first page of `pulling` brought along. `verdicts` counts what came of it."""

    def __init__(
        self,
        store: StoreThread,
        connection: Connection,
        clock: TrustedClock,
        pulling: Pulling,
        tell: Callable[[Progress], None],
    ) -> None:
        self._store = store
        self._connection = connection
        self._clock = clock
        self._pulling = pulling
        self._tell = tell
        self._limit = _BATCH
        self._renumberings = _RENUMBERINGS
        self.verdicts: Counter[Outcome] = Counter()

    async def all(self) -> None:
        """Send everything. Raises Offline, SignInNeeded, Rejected; what was sent stays so."""
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
            self._tell(Progress("push", self.verdicts.total(), max(total, self.verdicts.total())))

    async def what_is_understood(self) -> Offline | None:
        """Push everything; why the rest has to wait where the server's program is too old for it: what the server has
        for the user need not wait for that."""
        try:
            await self.all()
        except Offline as error:
            if error.code != "server_behind":
                raise
            return error
        return None

    async def ask_what_is_held(self) -> None:
        """Ask what the server holds, where there may be nothing to send. Raises as `all`."""
        await self._settle(await self._connection.push(PushRequest([])))

    async def reconcile(self) -> None:
        """Ask a server that was replaced up to where it holds this device's changes, and send the rest again."""
        progressed = await self._store.run(asking.progressed)
        if progressed.epoch is None and progressed.round:
            response = await self._connection.push(PushRequest([]))
            await self._store.run(exchanging.reconcile, response)

    async def _request(self, batch: list[Change]) -> PushRequest:
        """The push of `batch`, which brings the first page along where nothing is left to push after it."""
        pending, epoch = await self._store.run(_standing)
        return PushRequest(batch, await self._pulling.next_page() if pending == len(batch) else None, epoch)

    async def _settle(self, response: PushResponse) -> None:
        self._pulling.along = response.page
        known = (await self._store.run(asking.progressed)).epoch
        self.verdicts.update(await self._store.run(exchanging.settle, response, self._clock.anchor))
        if known not in (None, response.epoch):
            await self._begin_with_others()

    async def _begin_with_others(self) -> None:
        self._pulling.along = None
        await self._pulling.begin_with_others()
        await self.reconcile()

    async def _adapt(self, error: Rejected, batch: list[Change]) -> None:
        """Number the changes as the server expects, send what new contents lack, or send fewer at once; raise what
        none of this helps against."""
        if error.expected is not None and self._renumberings:
            self._renumberings -= 1
            await self._store.run(exchanging.continue_from, error.expected)
        elif error.code == "epoch_changed" and self._renumberings:
            self._renumberings -= 1
            await self._begin_with_others()
        elif error.code in ("body_too_large", "batch_too_large") and len(batch) > 1:
            self._limit = len(batch) // 2
        else:
            raise error


def _pending_count(tables: Tables) -> int:
    return tables.outbox.pending_count()


def _standing(tables: Tables) -> tuple[int, uuid.UUID | None]:
    """How many changes wait, and which contents this device knows."""
    return tables.outbox.pending_count(), tables.meta.progressed.epoch


def _next_batch(tables: Tables, limit: int) -> list[Change]:
    return tables.outbox.next_batch(limit)
