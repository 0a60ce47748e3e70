"""Group commit: pushes that wait together are decided and made durable in one transaction.

While a writer commits, the next pushes gather; whatever waits when it is done goes together, up to a bound. Another
writer begins beside it once as many pushes wait as are being committed: fewer, larger transactions cost less. So a
lone push waits for nobody, many share the cost of reaching the disk, and what waits goes at the latest when all that
was under way before it has ended.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import Sequence

import msgspec
import structlog

from field_schemas.registry import Registry
from server.live import Announce, Announcement, keep_quiet
from sync.authority import Actor
from sync.clock import Milliseconds
from sync.decision import Submission
from sync.errors import SyncError
from sync.messages import Change, PushResponse
from sync.push import OFFLINE_DAYS, push
from sync.storage import Collision, Store

MAX_ATTEMPTS = 5
"""How often a batch that collides with other writers is tried."""

_log = structlog.get_logger(__name__)


class QueueBounds(msgspec.Struct, frozen=True):
    """`changes` in one commit (a single push may hold more), `waiting` pushes before it is busy, and `writers`."""

    changes: int
    waiting: int
    writers: int


class _Waiting:
    """A push that waits for its answer."""

    __slots__ = ("answer", "submission")

    def __init__(self, submission: Submission, answer: asyncio.Future[PushResponse]) -> None:
        self.submission = submission
        self.answer = answer

    def settle(self, outcome: PushResponse | BaseException) -> None:
        """Hand over the answer, unless the requester has gone."""
        if self.answer.done():
            return
        if isinstance(outcome, BaseException):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class PushQueue:
    """Takes pushes from many requests to the store, in the order they came.

    A change captured more than `offline_days` before its receipt is refused. What was committed is announced.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        bounds: QueueBounds,
        now_ms: Milliseconds,
        offline_days: int = OFFLINE_DAYS,
        announce: Announce = keep_quiet,
    ) -> None:
        self._store = store
        self._registry = registry
        self._bounds = bounds
        self._now_ms = now_ms
        self._offline_days = offline_days
        self._announce = announce
        self._waiting: deque[_Waiting] = deque()
        self._changes_waiting = 0
        self._in_hand = 0
        self._wake = asyncio.Event()
        self._open = False
        self._writers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to accept pushes."""
        self._open = True
        self._writers = [asyncio.create_task(self._write_all()) for _ in range(self._bounds.writers)]

    async def stop(self) -> None:
        """Accept no more, and finish what was accepted."""
        self._open = False
        self._wake.set()
        await asyncio.gather(*self._writers)

    async def submit(
        self, actor: Actor, changes: list[Change], *, as_json: bool, epoch: uuid.UUID | None = None
    ) -> PushResponse:
        """Decide `changes`, sent for the contents `epoch` (None: for any), and make them durable.

        A push once accepted is carried out even if its requester goes away. Raises SyncError: what `push` answers,
        or `overloaded`.
        """
        if not self._open or len(self._waiting) >= self._bounds.waiting:
            raise SyncError("overloaded", f"{len(self._waiting)} pushes are waiting")
        answer: asyncio.Future[PushResponse] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(Submission(actor, changes, self._now_ms(), as_json, epoch), answer))
        self._changes_waiting += len(changes)
        self._wake.set()
        return await answer

    async def _write_all(self) -> None:
        while batch := await self._next_batch():
            self._in_hand += len(batch)
            await self._settle(batch)
            self._in_hand -= len(batch)
            self._wake.set()

    async def _next_batch(self) -> list[_Waiting]:
        """What one transaction takes; empty when the queue is closed and drained."""
        while self._open and not self._worth_while():
            self._wake.clear()
            await self._wake.wait()
        batch: list[_Waiting] = []
        size = 0
        while self._waiting:
            size += len(self._waiting[0].submission.changes)
            if batch and size > self._bounds.changes:
                break
            batch.append(self._waiting.popleft())
            self._changes_waiting -= len(batch[-1].submission.changes)
        return batch

    def _worth_while(self) -> bool:
        """Whether what waits makes a transaction: as many pushes as others are committing, or all that one holds."""
        pushes = len(self._waiting)
        return pushes > 0 and (pushes >= self._in_hand or self._changes_waiting >= self._bounds.changes)

    async def _settle(self, batch: list[_Waiting]) -> None:
        try:
            answers = await self._commit([waiting.submission for waiting in batch])
        except Exception as error:
            await self._settle_failed(batch, error)
            return
        for waiting, answer in zip(batch, answers, strict=True):
            waiting.settle(answer)

    async def _settle_failed(self, batch: list[_Waiting], error: Exception) -> None:
        """One by one, so that a push that cannot be carried out does not fail its neighbours."""
        if len(batch) == 1:
            batch[0].settle(error)
            return
        _log.warning("commit_split", pushes=len(batch), error=repr(error))
        for waiting in batch:
            await self._settle([waiting])

    async def _commit(self, submissions: list[Submission]) -> Sequence[PushResponse | SyncError]:
        for attempt in range(MAX_ATTEMPTS):
            try:
                async with self._store.writing() as tx:
                    answers = await push(tx, self._registry, submissions, self._offline_days, look=attempt > 0)
            except Collision:
                continue
            if tx.touched:
                self._announce(Announcement(tx.tx, frozenset(tx.touched), _knowing(submissions, answers)))
            return answers
        raise SyncError("overloaded", f"{MAX_ATTEMPTS} attempts collided with other writers")


def _knowing(submissions: list[Submission], answers: Sequence[PushResponse | SyncError]) -> uuid.UUID | None:
    """The device that knows all that was written: the only author, unless conflicts or refusals were made."""
    devices = {submission.actor.device for submission in submissions}
    if len(devices) > 1:
        return None
    told = [answer.verdicts for answer in answers if isinstance(answer, PushResponse)]
    return None if any(verdict.attention for verdicts in told for verdict in verdicts) else devices.pop()
