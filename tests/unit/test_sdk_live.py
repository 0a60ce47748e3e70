"""The line to the server: pokes end rests, and without a line the device polls as ever."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import httpx
import msgspec
import pytest

from client_sdk.errors import Offline
from client_sdk.live import QUIET, Line
from tests.phones import city, finding, opened, phone

HOUR = 3_600.0


class Server:
    """A server as a line sees it: each line gives these pokes, then ends by this error."""

    def __init__(self, *lines: tuple[int, Exception | None]) -> None:
        self._lines = list(lines)
        self.opened = 0

    async def pokes(self) -> AsyncGenerator[None, None]:
        self.opened += 1
        count, error = self._lines.pop(0) if self._lines else (0, None)
        for _ in range(count):
            yield
        if error is None:
            await asyncio.Event().wait()
        else:
            raise error


class Bench:
    """A line to a server, whose sleeps are noted and take no time, or never end."""

    def __init__(self, server: Server, pending: int = 0, *, patient: bool = False) -> None:
        self.slept: list[float] = []
        self.pending = pending
        self.patient = patient
        self.wrote = asyncio.Event()
        self.line = Line(server, self._pending, self.wrote, self._sleep, bytes)  # type: ignore[arg-type]

    async def _pending(self) -> int:
        return self.pending

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await (asyncio.Event().wait() if self.patient else asyncio.sleep(0))


async def settle() -> None:
    """Let everything that can run, run."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_poke_ends_the_rest() -> None:
    """A rest that would last an hour ends with the poke."""
    it = Bench(Server((1, None)), patient=True)
    it.line.synced(well=True)
    listening = asyncio.create_task(it.line.listen())
    await it.line.rest(HOUR)
    listening.cancel()
    assert it.line.up


async def test_a_poke_before_the_rest_is_not_lost() -> None:
    """What is said while the device syncs makes it sync again."""
    it = Bench(Server((1, None)), patient=True)
    it.line.synced(well=True)
    listening = asyncio.create_task(it.line.listen())
    await settle()
    await it.line.rest(HOUR)
    listening.cancel()
    assert it.slept == [HOUR]


async def test_pokes_that_follow_a_poke_fold_into_one() -> None:
    """The first poke after a rest counts at once; a moment passes before those during its sync do."""
    it = Bench(Server())
    it.line.up = True
    for _ in range(2):
        it.line._poked.set()
        await it.line.rest(HOUR)
    assert it.slept == [HOUR, 1 / 16, HOUR]


async def test_pokes_that_keep_coming_fold_for_longer() -> None:
    """With each sync during which another poke comes, the moment that passes doubles, up to a second."""
    it = Bench(Server())
    it.line.up = True
    for _ in range(7):
        it.line._poked.set()
        await it.line.rest(HOUR)
    assert [slept for slept in it.slept if slept < HOUR] == [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 1]


async def test_pokes_with_quiet_between_them_fold_no_longer() -> None:
    """When nothing came in the moment that passed, the next poke is a first one again."""
    it = Bench(Server())

    async def sleep(seconds: float) -> None:
        it.slept.append(seconds)
        if seconds == HOUR:
            it.line._poked.set()

    it.line = Line(Server(), it._pending, it.wrote, sleep, bytes)  # type: ignore[arg-type]
    for _ in range(3):
        await it.line.rest(HOUR)
    assert it.slept == [HOUR, 1 / 16, HOUR, 1 / 16, HOUR]


@pytest.mark.parametrize("pending", [0, 1])
async def test_what_was_written_during_a_sync_follows_soon(pending: int) -> None:
    """What was written before the rest begins is sent after a second or two, unless the sync has taken it along."""
    it = Bench(Server(), pending)
    it.wrote.set()
    await it.line.rest(HOUR)
    assert it.slept == [HOUR, *[1] * pending]


async def test_a_write_ends_the_rest() -> None:
    """A rest that would last an hour ends a second or two after a local write."""
    it = Bench(Server(), patient=True)
    resting = asyncio.create_task(it.line.rest(HOUR))
    await settle()
    it.patient = False
    it.wrote.set()
    await resting
    assert it.slept == [HOUR, 1]


async def test_writes_go_in_groups(tmp_path: Path) -> None:
    """What is written within a second is sent by one push, whatever the interval."""
    server = city()
    pause = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await (asyncio.Event().wait() if seconds >= HOUR else pause.wait())

    clocks = msgspec.structs.replace(server.time.clocks(), sleep=sleep)
    async with opened(tmp_path / "li.db", server, clocks=clocks) as li:
        await li.sign_in("li", "secret")
        async with li.background(interval_s=HOUR):
            # One pull before the line is there, and one for the poke that every line starts with.
            await until(lambda: server.requests.count("POST /v1/pull") == 2)
            made = [await li.create(finding()) for _ in range(5)]
            pause.set()
            await until(lambda: made[-1].id in server.state.records)
    assert {one.id for one in made} <= server.state.records.keys()
    assert server.requests.count("POST /v1/push") == 1


async def test_a_write_does_not_break_an_appointment(tmp_path: Path) -> None:
    """A device that the server has told when to come back waits until then, however much is written."""
    server = city()
    refused = 0

    async def busy(_request: httpx.Request) -> httpx.Response:
        nonlocal refused
        refused += 1
        return httpx.Response(503, headers={"retry-after": "40"})

    async def sleep(seconds: float) -> None:
        await (asyncio.Event().wait() if seconds >= 40 else asyncio.sleep(0))

    clocks = msgspec.structs.replace(server.time.clocks(), sleep=sleep)
    async with opened(tmp_path / "li.db", server, clocks=clocks) as li:
        await li.sign_in("li", "secret")
    async with (
        opened(tmp_path / "li.db", server, clocks=clocks, transport=httpx.MockTransport(busy)) as li,
        li.background(interval_s=1),
    ):
        await until(lambda: refused == 1)
        for _ in range(3):
            await li.create(finding())
        await settle()
    assert refused == 1


@pytest.mark.parametrize(("up", "intervals"), [(False, 1), (True, QUIET)])
async def test_polling_is_rarer_while_the_line_is_up(up: bool, intervals: int) -> None:
    """With a line a device polls at every QUIET intervals."""
    it = Bench(Server())
    it.line.up = up
    await it.line.rest(60)
    assert it.slept == [60] * intervals


@pytest.mark.parametrize("tried", [False, True])
async def test_no_line_while_offline(tried: bool) -> None:
    """Before a sync went through, and after one that did not, the server is not asked for a line."""
    server = Server()
    it = Bench(server)
    if tried:
        it.line.synced(well=True)
        it.line.synced(well=False)
    listening = asyncio.create_task(it.line.listen())
    await settle()
    listening.cancel()
    assert server.opened == 0


async def test_a_line_that_breaks_is_tried_again() -> None:
    """A broken line is opened anew after a wait: the one the server asked for, or one that grows."""
    server = Server((0, Offline("gone")), (0, Offline("busy", 40)), (3, Offline("bye", 7)), (0, Offline("gone")))
    it = Bench(server)
    it.line.synced(well=True)
    listening = asyncio.create_task(it.line.listen())
    await settle()
    listening.cancel()
    assert (server.opened, it.slept) == (5, [0, 40, 7, 0])


async def until(condition: Callable[[], bool]) -> None:
    """Let the phone work until something holds."""
    for _ in range(1_000_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to hold")


async def test_a_device_syncs_when_poked(tmp_path: Path) -> None:
    """A poke makes the device pull at once, whatever its interval."""
    server = city()

    async def for_ever(seconds: float) -> None:
        await (asyncio.Event().wait() if seconds >= HOUR else asyncio.sleep(0))

    clocks = msgspec.structs.replace(server.time.clocks(), sleep=for_ever)
    async with opened(tmp_path / "li.db", server, clocks=clocks) as li:
        await li.sign_in("li", "secret")
        async with li.background(interval_s=HOUR):
            # One pull before the line is there, and one for the poke that every line starts with.
            await until(lambda: server.requests.count("POST /v1/pull") == 2)
            server.say("event: poke\ndata: pull\n\n")
            await until(lambda: server.requests.count("POST /v1/pull") == 3)


async def test_a_server_without_pokes_is_polled(tmp_path: Path) -> None:
    """Where no line can be had the device syncs all the same."""
    server = city()

    async def no_line(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/live":
            return httpx.Response(404)
        answer = await server.transport.handle_async_request(request)
        assert isinstance(answer, httpx.Response)
        return answer

    async with phone(tmp_path, server, "li", httpx.MockTransport(no_line)) as li, li.background(interval_s=60):
        made = await li.create(finding())
        await until(lambda: made.id in server.state.records)
