"""Group commit: what waits together goes together, and no push harms another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.group_commit import MAX_ATTEMPTS, PushQueue, QueueBounds
from server.live import Announcement
from sync.authority import Actor
from sync.errors import SequenceError, SyncError
from sync.memory import MemoryStore
from sync.messages import PushResponse
from sync.storage import Collision
from tests.unit.builders import EPOCH, NOW, REGISTRY, Office, component, inspector, new_id


class GatedStore(MemoryStore):
    """A memory store whose commits wait for the test, and fail when it says so."""

    def __init__(self) -> None:
        super().__init__(EPOCH)
        self.gate = asyncio.Event()
        self.gate.set()
        self.commits = 0
        self.failures: list[Exception] = []
        self.poisonous: Actor | None = None

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Any]:
        self.commits += 1
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        async with super().writing() as transaction:
            yield transaction
            written = {change.device for change in transaction.state.log.values()}
            if self.poisonous and self.poisonous.device in written:
                raise RuntimeError("this push cannot be stored")


class Bench:
    """A queue on a gated store, and devices that push to it."""

    def __init__(self, store: GatedStore, queue: PushQueue, announced: list[Announcement]) -> None:
        self.store = store
        self.queue = queue
        self.announced = announced
        self.office = Office(store)

    async def push(self, author: Actor, count: int = 1) -> PushResponse:
        """Push `count` new components."""
        changes = [self.office.change(author, "component", new_id(), component()) for _ in range(count)]
        return await self.queue.submit(author, changes, as_json=False)

    def start_push(self, author: Actor, count: int = 1) -> asyncio.Task[PushResponse]:
        """Push in the background."""
        return asyncio.create_task(self.push(author, count))


@asynccontextmanager
async def bench(changes: int = 100, waiting: int = 50, writers: int = 1) -> AsyncIterator[Bench]:
    """A running queue with these bounds."""
    store = GatedStore()
    announced: list[Announcement] = []
    bounds = QueueBounds(changes, waiting, writers)
    queue = PushQueue(store, REGISTRY, bounds, lambda: NOW, announce=announced.append)
    queue.start()
    yield Bench(store, queue, announced)
    store.gate.set()
    await queue.stop()


async def settle() -> None:
    """Let everything that can run, run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_lone_push_waits_for_nobody() -> None:
    """One push is one commit."""
    async with bench() as it:
        assert (await it.push(inspector("a"))).held == 1
        assert it.store.commits == 1


async def test_what_waits_together_commits_together() -> None:
    """Pushes that arrive during a commit share the next one."""
    async with bench() as it:
        it.store.gate.clear()
        tasks = [it.start_push(inspector("a")) for _ in range(10)]
        await settle()
        it.store.gate.set()
        answers = await asyncio.gather(*tasks)
        assert [answer.held for answer in answers] == [1] * 10
        assert it.store.commits <= 2


async def test_another_writer_begins_once_as_many_wait_as_are_committed() -> None:
    """Beside a commit of one push the next goes alone, beside those two go two: what is begun grows, not dwindles."""
    async with bench(writers=4) as it:
        it.store.gate.clear()
        tasks, begun = [], []
        for _ in range(8):
            tasks.append(it.start_push(inspector("a")))
            await settle()
            begun.append(it.store.commits)
        it.store.gate.set()
        await asyncio.gather(*tasks)
        assert begun == [1, 2, 2, 3, 3, 3, 3, 4]


async def test_enough_for_a_whole_commit_waits_for_nobody() -> None:
    """Beside a commit of many pushes another begins when as many changes wait as one may hold."""
    async with bench(changes=4, writers=4) as it:
        it.store.gate.clear()
        many = []
        for _ in range(4):
            many.append(it.start_push(inspector("a")))
            await settle()
        before = it.store.commits
        whole = it.start_push(inspector("b"), 4)
        await settle()
        assert (before, it.store.commits) == (3, 4)
        it.store.gate.set()
        await asyncio.gather(*many, whole)


async def test_a_commit_is_bounded() -> None:
    """A commit takes no more changes than its bound, unless a single push brings more."""
    async with bench(changes=4) as it:
        it.store.gate.clear()
        tasks = [it.start_push(inspector("a"), count) for count in (1, 2, 2, 2, 9)]
        await settle()
        it.store.gate.set()
        await asyncio.gather(*tasks)
        assert it.store.commits == 3
        assert len(it.store.state.log) == 16


async def test_a_refused_request_leaves_its_neighbours_alone() -> None:
    """A hole in one device's sequence is that device's answer only."""
    async with bench() as it:
        it.store.gate.clear()
        bad, good = inspector("a"), inspector("b")
        it.office.change(bad, "component", new_id(), component())
        failing, passing = it.start_push(bad), it.start_push(good)
        await settle()
        it.store.gate.set()
        assert (await passing).held == 1
        with pytest.raises(SequenceError):
            await failing


async def test_a_poisoned_push_does_not_fail_its_neighbours() -> None:
    """When a commit fails its pushes are tried one by one."""
    async with bench() as it:
        it.store.gate.clear()
        bad, good = inspector("a"), inspector("b")
        it.store.poisonous = bad
        tasks = [it.start_push(author) for author in (good, bad, inspector("c"))]
        await settle()
        it.store.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer) for answer in answers] == [PushResponse, RuntimeError, PushResponse]


async def test_collisions_are_tried_again() -> None:
    """A collision with another writer costs an attempt, not the push."""
    async with bench() as it:
        it.store.failures = [Collision()] * (MAX_ATTEMPTS - 1)
        assert (await it.push(inspector("a"))).held == 1


async def test_attempts_are_bounded() -> None:
    """A push that always collides is answered with `overloaded`."""
    async with bench() as it:
        it.store.failures = [Collision()] * MAX_ATTEMPTS
        with pytest.raises(SyncError) as caught:
            await it.push(inspector("a"))
        assert caught.value.code == "overloaded"


async def test_a_requester_that_leaves_loses_nothing() -> None:
    """A cancelled request's changes are stored all the same, and its neighbours are served."""
    async with bench() as it:
        it.store.gate.clear()
        leaving, staying = it.start_push(inspector("a")), it.start_push(inspector("b"))
        await settle()
        leaving.cancel()
        await settle()
        it.store.gate.set()
        assert (await staying).held == 1
        assert len(it.store.state.log) == 2


async def test_too_many_waiting() -> None:
    """Beyond its bound the queue says at once that it is busy."""
    async with bench(changes=1, waiting=2) as it:
        it.store.gate.clear()
        waiting = []
        for _ in range(3):
            waiting.append(it.start_push(inspector("a")))
            await settle()
        with pytest.raises(SyncError) as caught:
            await it.push(inspector("b"))
        assert caught.value.code == "overloaded"
        it.store.gate.set()
        assert len(await asyncio.gather(*waiting)) == 3


async def test_stop_finishes_what_was_accepted() -> None:
    """Stopping waits for accepted pushes and takes no more."""
    async with bench(changes=1) as it:
        it.store.gate.clear()
        accepted = [it.start_push(inspector("a")) for _ in range(3)]
        await settle()
        stopping = asyncio.create_task(it.queue.stop())
        await settle()
        with pytest.raises(SyncError):
            await it.push(inspector("b"))
        it.store.gate.set()
        await stopping
        assert all(task.done() for task in accepted)


async def test_several_writers() -> None:
    """With several writers a slow commit does not hold up the next."""
    async with bench(changes=1, writers=3) as it:
        it.store.gate.clear()
        tasks = [it.start_push(inspector("a")) for _ in range(3)]
        await settle()
        assert it.store.commits == 3
        it.store.gate.set()
        assert [answer.held for answer in await asyncio.gather(*tasks)] == [1, 1, 1]


async def test_a_commit_is_announced() -> None:
    """After the commit the feeds it wrote to are told, with the device if it was the only author."""
    async with bench() as it:
        author = inspector("a")
        await it.push(author)
        (told,) = it.announced
        assert told.feeds is not None
        assert "grid:440304001" in told.feeds
        assert told.device == author.device


async def test_a_commit_of_several_devices_is_announced_to_all() -> None:
    """Where several devices share a commit each is to hear of the others' changes."""
    async with bench() as it:
        it.store.gate.clear()
        tasks = [it.start_push(inspector(name)) for name in "abc"]
        await settle()
        it.store.gate.set()
        await asyncio.gather(*tasks)
        assert it.announced[-1].device is None


async def test_an_author_hears_of_a_refusal() -> None:
    """A refusal record is news to the author of the refused change too."""
    async with bench() as it:
        author = inspector("a")
        await it.queue.submit(author, [it.office.change(author, "no_such_type", new_id(), {})], as_json=False)
        assert it.announced[-1].device is None


async def test_what_failed_is_not_announced() -> None:
    """A transaction that did not commit is told to nobody."""
    async with bench() as it:
        it.store.failures = [Collision()] * MAX_ATTEMPTS
        with pytest.raises(SyncError):
            await it.push(inspector("a"))
        assert it.announced == []
