"""The turnstile: what is turned away costs nothing, health is always answered, places are held for work only."""

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest

from server.admission import Admission, Bounds, Kind, Visit
from server.http import bodies, turnstile
from server.http.turnstile import Turnstile
from sync.errors import SyncError

NOW = 1_790_000_000_000
ROOM = 200_000
PIECE = {"type": "http.request", "body": b"x" * 70_000, "more_body": True}
WHOLE = {"type": "http.request", "body": b"all of it", "more_body": False}


class Client:
    """One request and its answer. Its body comes when the test says so."""

    def __init__(self, path: str = "/v1/push", device: str = "key", language: str = "en") -> None:
        headers = [(b"dpop", f"{device}.claims.signature".encode()), (b"accept-language", language.encode())]
        self.scope: Any = {"type": "http", "method": "POST", "path": path, "headers": headers}
        self.body: asyncio.Queue[Any] = asyncio.Queue()
        self.asked = 0
        self.listens = asyncio.Event()
        self.listens.set()
        self.answer: list[Any] = []

    async def receive(self) -> Any:
        self.asked += 1
        return await self.body.get()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            await self.listens.wait()
        self.answer.append(message)

    @property
    def status(self) -> int | None:
        """The status of the answer, if there is one."""
        return self.answer[0]["status"] if self.answer else None


class Hall:
    """A turnstile before an application that reads a request to its end, and answers when the test says so.

    After its answer it has more to do; the answer of a live line does not end.
    """

    def __init__(self, **bounds: int) -> None:
        self.reached: list[str] = []
        self.errors: list[str] = []
        self.finish = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        admission = Admission(Bounds(**bounds), lambda: 1_000.0, lambda: 0.5)
        self.turnstile = Turnstile(self._work, admission, ROOM, lambda: NOW, lambda: 1_000.0)

    async def _work(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(scope["path"])
        try:
            while (await receive())["more_body"]:
                pass
        except SyncError as error:
            self.errors.append(error.code)
            return
        await self.finish.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": scope["path"] == "/v1/live"})
        await asyncio.Event().wait()

    async def enter(self, client: Client, *messages: Any) -> Client:
        """The request of `client` comes in with what has arrived of its body."""
        for message in messages:
            client.body.put_nowait(message)
        self._tasks.append(asyncio.create_task(self.turnstile(client.scope, client.receive, client.send)))
        await settle()
        return client


async def settle() -> None:
    """Let everything that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_is_turned_away_is_not_looked_at() -> None:
    """A refusal reaches no handler and reads no body; it says what happened and when to come back."""
    hall = Hall(at_once=1, waiting=0)
    refused = await hall.enter(Client())
    assert (hall.reached, refused.asked, refused.status) == ([], 0, 503)
    headers = dict(refused.answer[0]["headers"])
    problem = msgspec.json.decode(refused.answer[1]["body"])
    assert (problem["code"], problem["server_ms"]) == ("overloaded", NOW)
    assert int(headers[b"retry-after"]) >= 2


@pytest.mark.parametrize(("path", "version"), [("/v1/uploads/abc", b"1.0.0"), ("/v1/push", None)])
async def test_uploads_are_turned_away_in_the_words_of_tus(path: str, version: bytes | None) -> None:
    """A refused upload names the version of tus, as all answers to uploads do, and no other does."""
    hall = Hall(at_once=1, waiting=0)
    refused = await hall.enter(Client(path))
    assert dict(refused.answer[0]["headers"]).get(b"tus-resumable") == version


async def test_bodies_that_come_together_do_not_pass_the_bound() -> None:
    """Who was let in while there was room is turned away before any work when its body finds the line full."""
    hall = Hall(at_once=1, waiting=4)
    together = [await hall.enter(Client(device=str(number))) for number in range(20)]
    for client in together:
        client.body.put_nowait(WHOLE)
    await settle()
    assert Counter(client.status for client in together) == {None: 5, 503: 15}
    assert all(int(dict(one.answer[0]["headers"])[b"retry-after"]) > 0 for one in together if one.answer)
    assert len(hall.reached) == 1


@pytest.mark.parametrize("header", [b"dpop", b"authorization", b"x-anything"])
async def test_overlong_headers_are_not_looked_at(header: bytes) -> None:
    """Headers longer than anything a device sends are refused before proofs are read or a body has come."""
    hall = Hall()
    client = Client()
    client.scope["headers"].append((header, b"x" * 20_000))
    await hall.enter(client)
    problem = msgspec.json.decode(client.answer[1]["body"])
    assert (problem["code"], client.status, client.asked, hall.reached) == ("headers_too_large", 431, 0, [])


async def test_a_greedy_device_is_told_so() -> None:
    """A device with too many requests in gets 429, in its language."""
    hall = Hall(of_device=1)
    await hall.enter(Client(), WHOLE)
    refused = await hall.enter(Client(language="zh"))
    problem = msgspec.json.decode(refused.answer[1]["body"])
    assert (refused.status, problem["code"], problem["title"]) == (429, "too_many_requests", "该设备同时请求过多")


@pytest.mark.parametrize(("path", "status"), [("/v1/push", 200), ("/v1/live", 429)])
async def test_work_after_an_answer_is_not_the_devices(path: str, status: int) -> None:
    """Whose answer has ended may ask again, whatever the server still does after it; a line that is open counts."""
    hall = Hall(of_device=1)
    hall.finish.set()
    await hall.enter(Client(path), WHOLE)
    again = await hall.enter(Client(path), WHOLE)
    assert again.status == status


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_health_is_always_answered(path: str) -> None:
    """However full the hall, health goes straight through."""
    hall = Hall(at_once=1, waiting=0)
    await hall.enter(Client(path), WHOLE)
    assert hall.reached == [path]


async def test_an_answer_that_began_holds_no_place() -> None:
    """Once a request's answer begins, the next one is worked on, however slowly the first is taken."""
    hall = Hall(at_once=1)
    await hall.enter(Client("/v1/live"), WHOLE)
    await hall.enter(Client("/v1/pull"), WHOLE)
    hall.finish.set()
    await settle()
    assert hall.reached == ["/v1/live", "/v1/pull"]


async def test_a_slow_upload_holds_no_place() -> None:
    """While a request's body has not come yet, another is worked on; also in the midst of a large body."""
    hall = Hall(at_once=1)
    slow = await hall.enter(Client("/v1/push", "slow"))
    large = await hall.enter(
        Client("/v1/receipts", "large"), {"type": "http.request", "body": b"x" * 70_000, "more_body": True}
    )
    await hall.enter(Client("/v1/pull", "quick"), WHOLE)
    before = list(hall.reached)
    for client in (slow, large):
        client.body.put_nowait(WHOLE)
    await settle()
    hall.finish.set()
    await settle()
    assert before == ["/v1/receipts", "/v1/pull"]
    assert (hall.reached, slow.status, large.status) == ([*before, "/v1/push"], 200, 200)


async def test_large_bodies_have_bounded_room() -> None:
    """What would take more than the room for large bodies is given up, and so makes room for the others."""
    hall = Hall()
    await hall.enter(Client(device="a"), *[PIECE] * 2)
    await hall.enter(Client(device="b"), *[PIECE] * 4)
    await hall.enter(Client(device="c"), *[PIECE] * 2)
    assert (hall.reached, hall.errors) == (["/v1/push"] * 3, ["overloaded"])


async def test_an_answer_makes_room_for_bodies() -> None:
    """A body takes no room any more when its answer begins."""
    hall = Hall()
    hall.finish.set()
    for number in range(5):
        await hall.enter(Client(device=str(number)), *[PIECE] * 3, WHOLE)
    assert hall.errors == []


async def test_uploads_take_no_room() -> None:
    """What is written to disk as it comes is not counted."""
    hall = Hall()
    await hall.enter(Client("/v1/uploads/key"), *[PIECE] * 9)
    assert hall.errors == []


async def test_an_upload_begins_before_its_bytes() -> None:
    """An upload is handed on before anything of it has come: it must stop an older one, and keep its first byte."""
    hall = Hall()
    await hall.enter(Client("/v1/uploads/key"))
    await hall.enter(Client("/v1/push"))
    assert hall.reached == ["/v1/uploads/key"]


async def test_a_body_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing comes of a body for too long the request ends, at its beginning as in its midst."""
    monkeypatch.setattr(bodies, "SILENCE_S", 0.0)
    hall = Hall()
    early = await hall.enter(Client(device="a"))
    await hall.enter(Client(device="b"), PIECE)
    assert (early.status, hall.errors) == (408, ["body_stalled"])


@pytest.mark.parametrize(("size", "code"), [(1, "body_stalled"), (20 * bodies.SLOWEST, None)])
async def test_a_body_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch, size: int, code: str | None) -> None:
    """Never silent for long, a body must still come at a rate; one that does may take its time."""
    loop = asyncio.get_running_loop()
    slept = [0.0]
    monkeypatch.setattr(loop, "time", lambda real=loop.time: real() + slept[0])

    async def receive() -> Any:
        slept[0] += 20.0
        await settle()
        return {"type": "http.request", "body": b"x" * size, "more_body": slept[0] < 200}

    caught = None
    try:
        await bodies.Incoming(receive, None).begin()
    except SyncError as error:
        caught = error.code
    assert caught == code


async def test_an_answer_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has sent all may stay silent for as long as it listens."""
    monkeypatch.setattr(bodies, "SILENCE_S", 0.0)
    client = Client()
    client.body.put_nowait(WHOLE)
    incoming = bodies.Incoming(client.receive, None)
    await incoming.begin()
    turn = await Admission(Bounds(), lambda: 0.0, lambda: 0.5).turn(Visit("", Kind.WORK, in_time=False))
    await incoming.receive(turn)
    listening = asyncio.create_task(incoming.receive(turn))
    await settle()
    client.body.put_nowait({"type": "http.disconnect"})
    assert (await listening)["type"] == "http.disconnect"


async def test_an_answer_that_nobody_takes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose network broke in the midst of an answer is soon done with it, and may ask again."""
    monkeypatch.setattr(turnstile, "SLOW_S", 0.0)
    hall = Hall(of_device=1)
    hall.finish.set()
    gone = Client("/v1/live")
    gone.listens.clear()
    await hall.enter(gone, WHOLE)
    again = await hall.enter(Client("/v1/live"), WHOLE)
    assert again.status == 200


@pytest.mark.parametrize(("path", "status"), [("/v1/media/sha256:ab", 503), ("/v1/uploads", 503), ("/v1/push", None)])
async def test_media_are_no_unsent_work(path: str, status: int | None) -> None:
    """Where the line is full for news it is full for media too; work that is not sent yet still finds room."""
    hall = Hall(at_once=1, waiting=4)
    for number in range(4):
        await hall.enter(Client("/v1/pull", str(number)), WHOLE)
    late = await hall.enter(Client(path, "late"), WHOLE)
    assert late.status == status
