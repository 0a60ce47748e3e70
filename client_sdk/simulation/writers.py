"""Group commit in one server process: pushes that wait together commit together."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from sync.decision import Submission
from sync.errors import SyncError
from sync.messages import PushResponse

_Answers = list[PushResponse | SyncError]
_Commit = Callable[[list[Submission]], Awaitable[_Answers]]


class _Waiting:
    """A push and the future of its answer."""

    def __init__(self, submission: Submission, answer: asyncio.Future[PushResponse | Exception]) -> None:
        self.submission = submission
        self.answer = answer


class PushQueue:
    """Pushes that wait for `commit`; `write` is to run in some tasks at once."""

    def __init__(self, commit: _Commit) -> None:
        self._commit = commit
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()

    def clear(self) -> None:
        """Forget what waits: its process has died."""
        self._waiting.clear()

    async def submit(self, submission: Submission) -> PushResponse:
        """The answer, once it is durable. Raises what the commit raises."""
        answer: asyncio.Future[PushResponse | Exception] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(submission, answer))
        self._wake.set()
        response = await answer
        if isinstance(response, Exception):
            raise response
        return response

    async def write(self) -> None:
        """Commit what waits, together, for ever."""
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            batch = [*self._waiting]
            self._waiting.clear()
            await self._settle(batch)

    async def _settle(self, batch: list[_Waiting]) -> None:
        answers: _Answers | list[Exception]
        try:
            answers = await self._commit([one.submission for one in batch])
        except Exception as error:
            if len(batch) > 1:
                # One by one, so that a push that cannot be carried out does not fail its neighbours.
                for one in batch:
                    await self._settle([one])
                return
            answers = [error]
        for one, answer in zip(batch, answers, strict=True):
            if not one.answer.done():
                one.answer.set_result(answer)
