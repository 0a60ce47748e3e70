"""Row locks with waiting, as in PostgreSQL: who would wait in a circle collides instead."""

import asyncio
import uuid
from collections import deque
from typing import NamedTuple

from sync.storage import Collision


class Key(NamedTuple):
    """A row of a table."""

    table: str
    id: uuid.UUID


class ConnectionLost(Exception):
    """The database or the process died during the transaction."""


class RowLocks:
    """Which transaction holds which row, and who waits for it."""

    def __init__(self) -> None:
        self._holders: dict[Key, int] = {}
        self._waiting: dict[int, Key] = {}
        self._queues: dict[Key, deque[tuple[int, asyncio.Future[None]]]] = {}

    async def take(self, tx: int, key: Key) -> None:
        """Hold `key` for `tx` until `release`.

        Raises Collision where waiting would never end, ConnectionLost when `tx` is released meanwhile.
        """
        if self._holders.setdefault(key, tx) == tx:
            return
        if self._would_wait_for_itself(tx, key):
            raise Collision
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(key, deque()).append((tx, turn))
        self._waiting[tx] = key
        try:
            await turn
        finally:
            self._waiting.pop(tx, None)

    def release(self, tx: int) -> None:
        """Give up all that `tx` holds, to those who waited longest, and its place in every queue."""
        for queue in self._queues.values():
            for entry in [entry for entry in queue if entry[0] == tx]:
                queue.remove(entry)
                if not entry[1].done():
                    entry[1].set_exception(ConnectionLost)
        for key in [key for key, holder in self._holders.items() if holder == tx]:
            self._pass_on(key)

    def _pass_on(self, key: Key) -> None:
        del self._holders[key]
        queue = self._queues.get(key)
        while queue:
            tx, turn = queue.popleft()
            if not turn.done():
                self._holders[key] = tx
                del self._waiting[tx]
                turn.set_result(None)
                return

    def _would_wait_for_itself(self, tx: int, key: Key) -> bool:
        holder = self._holders[key]
        while (wanted := self._waiting.get(holder)) is not None:
            holder = self._holders[wanted]
            if holder == tx:
                return True
        return False
