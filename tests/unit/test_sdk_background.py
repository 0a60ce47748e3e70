"""Syncing in the background: polling, backing off, obeying the server, stopping."""

import asyncio
import sqlite3
from pathlib import Path

import httpx
import pytest

from client_sdk.background import backoff_s, keep_synced
from client_sdk.errors import Offline, Rejected
from client_sdk.reports import Status, SyncState
from tests.phones import city, finding, opened, phone


def largest(count: int) -> bytes:
    """The random bytes that make the longest jitter."""
    return b"\xff" * count


@pytest.mark.parametrize(("failures", "ceiling"), [(1, 1), (2, 2), (5, 16), (9, 256), (10, 300), (1_000_000, 300)])
def test_backoff_doubles_up_to_a_limit(failures: int, ceiling: float) -> None:
    """The n-th failure in a row waits anything from nothing to 2^(n-1) s, at most five minutes."""
    assert backoff_s(failures, largest, None) == pytest.approx(ceiling)
    assert backoff_s(failures, bytes, None) == 0


def test_backoff_obeys_the_server() -> None:
    """What the server asked for is waited in full, and jitter comes on top."""
    assert backoff_s(1, bytes, 40) == 40
    assert backoff_s(1, largest, 40) == pytest.approx(41)


def test_nobody_is_sent_away_for_hours() -> None:
    """Whatever the server asks for, a device tries again after a quarter of an hour."""
    assert backoff_s(1, bytes, 86_400_000) == 900


def test_jitter_is_no_longer_than_what_the_server_asked() -> None:
    """However often the server was busy, a device waits at most twice what it asked for."""
    assert backoff_s(20, largest, 40) == pytest.approx(80)


async def test_the_loop_waits_by_what_happened() -> None:
    """Success waits the interval and resets the backoff, failures wait longer and longer; nothing is raised."""
    full = sqlite3.OperationalError("database or disk is full")
    outcomes = [None, Offline("gone"), Offline("gone", 30), Rejected("internal", "?"), None, full]
    waits: list[float] = []

    async def sync() -> None:
        error = outcomes[len(waits)]
        if error is not None:
            raise error

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == len(outcomes):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await keep_synced(sync, lambda: sleep(60), sleep, largest)
    assert waits == pytest.approx([60, 1, 32, 4, 60, 1])


async def test_background_sync_sends_what_is_written(tmp_path: Path) -> None:
    """While the background context is open, local work reaches the server without being asked to."""
    server = city()
    async with phone(tmp_path, server, "li") as li, li.background(interval_s=1):
        made = await li.create(finding())
        for _ in range(200_000):
            if made.id in server.state.records and not await li.pending():
                break
            await asyncio.sleep(0)
        assert made.id in server.state.records


async def test_status_tells_what_is_going_on(tmp_path: Path) -> None:
    """Observers hear of each state; offline keeps the last report and carries the error."""
    server = city()
    async with phone(tmp_path, server, "li") as li:
        heard: list[SyncState] = []
        end = li.observe(lambda status: heard.append(status.state))
        report = await li.sync()

        async def busy(_request: httpx.Request) -> httpx.Response:
            return httpx.Response(503, headers={"retry-after": "7"})

        server.faults.append(busy)
        with pytest.raises(Offline) as caught:
            await li.sync()
        assert caught.value.retry_after_s == 7
        assert (li.status.state, li.status.report, li.status.error) == (SyncState.OFFLINE, report, caught.value)
        end()
        await li.sync()
        assert heard == [SyncState.SYNCING, SyncState.IDLE, SyncState.SYNCING, SyncState.OFFLINE]


async def test_a_captive_portal_is_offline(tmp_path: Path) -> None:
    """An answer that no Gridwalk server gives counts as being offline."""

    async def portal(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"<html>Welcome to Hotel WiFi</html>")

    async with opened(tmp_path / "li.db", city(), transport=httpx.MockTransport(portal)) as li:
        with pytest.raises(Offline):
            await li.sign_in("li", "secret")


async def test_an_observer_that_fails_stops_nothing(tmp_path: Path) -> None:
    """An error in the caller's observer is not the sync's."""
    async with phone(tmp_path, city(), "li") as li:

        def fail(_: Status) -> None:
            raise RuntimeError("the screen is gone")

        li.observe(fail)
        await li.sync()
        assert li.status.state is SyncState.IDLE
