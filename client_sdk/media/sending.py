"""Sending what waits: chunk by chunk, each time the most urgent file, until the server says that it holds it."""

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec

from client_sdk.background import backoff_s
from client_sdk.clocks import Clocks
from client_sdk.errors import Offline, Rejected, SignInNeeded
from client_sdk.live import Sleep
from client_sdk.media.addresses import Addresses
from client_sdk.media.pace import Pace
from client_sdk.store.media import Delivery, MediaRules, QueuedMedia, file_name
from client_sdk.store.media_files import is_whole, size_of
from client_sdk.store.thread import StoreThread, Tables
from client_sdk.wire import UploadStatus
from sync.clock import Milliseconds
from sync.ids import RandomBytes
from sync.messages import Outcome

OnWifi = Callable[[], bool]
"""Whether the network at hand costs nothing: Wi-Fi, a cable."""
OnMedia = Callable[[QueuedMedia], None]

_GONE = frozenset({"upload_unknown", "upload_gone", "upload_overrun", "digest_mismatch"})
"""The upload cannot go on; another one can."""
_NEVER = frozenset(
    {"upload_too_large", "media_refused", "media_empty", "digest_unsupported", "media_damaged", "media_lost"}
)
"""The server will not take this file, however often it is sent."""
_OF_THE_SERVER = frozenset({"", "overloaded", "too_many_requests"})
"""Trouble of the network or the whole server, not of one file."""
_LONGEST_ASKED_S = 86_400.0
"""A quota of a day is full for a day at most; all else goes on meanwhile."""


class Sender:
    """Sends the files of one device's queue. It remembers of the network what is of use while it lasts; what is to be
    left alone, and until when by `now_ms` (true UTC), stands in the store.

    Unless it is `expecting` something, it does not even look: most syncs have no media to send.
    """

    def __init__(
        self,
        store: StoreThread,
        addresses: Addresses,
        folder: Path,
        clocks: Clocks,
        random_bytes: RandomBytes,
        now_ms: Milliseconds,
        on_wifi: OnWifi | None,
        tell: OnMedia,
        *,
        expecting: bool,
    ) -> None:
        self._store = store
        self._now_ms = now_ms
        self._addresses = addresses
        self._folder = folder
        self._clocks = clocks
        self._random_bytes = random_bytes
        self._on_wifi = on_wifi
        self._tell = tell
        self._pace = Pace()
        self._offsets: dict[str, int] = {}
        self._furthest: dict[str, int] = {}
        self._cut: tuple[str, int] | None = None
        self._turn = asyncio.Lock()
        self._runs = 0
        self._expecting = expecting
        self._expected = 0
        self.acknowledged = 0
        """Bytes that the server has said to hold, since the device was opened."""

    async def run(self, records: asyncio.Lock | None, *, whatever_rules: bool = False) -> None:
        """Send until nothing is due. Records go first: before each chunk a sync that holds `records` is let through.

        What the user wants to wait, waits, unless `whatever_rules`. Raises Offline when the network is to be left
        alone for a while, SignInNeeded.
        """
        if not self._expecting:
            return
        self._runs += 1
        try:
            await self._store.run(withdraw_deleted)
            while await self._send_one(whatever_rules):
                if records is not None:
                    async with records:
                        pass
            asked = self._expected
            left = await self._store.run(_is_any_left)
            # What was attached meanwhile may lie behind the question.
            self._expecting = left or asked != self._expected
        finally:
            self._runs -= 1

    @property
    def running(self) -> bool:
        """Whether something is being sent."""
        return self._runs > 0

    async def rest_s(self, interval_s: float) -> float:
        """Seconds until something is due again, at most `interval_s`."""
        if not self._expecting:
            return interval_s
        now_ms = self._now_ms()
        due_ms = await self._store.run(_next_due_ms, now_ms)
        return interval_s if due_ms is None else min(interval_s, (due_ms - now_ms) / 1000)

    def expect(self) -> None:
        """Take note that there is something to send; what writes it into the store is to be begun at once."""
        self._expecting = True
        self._expected += 1

    async def _send_one(self, whatever_rules: bool) -> bool:
        """One step of the most urgent file; whether there was one."""
        async with self._turn:
            # A network of which nothing is known may cost money.
            on_wifi = whatever_rules or (self._on_wifi is not None and self._on_wifi())
            item = await self._store.run(_next, self._now_ms(), on_wifi=on_wifi, whatever_rules=whatever_rules)
            if item is None:
                return False
            try:
                await self._advance(item)
            except SignInNeeded:
                raise
            except Offline as error:
                if error.code in _OF_THE_SERVER:
                    raise
                await self._postpone(item, error.code, str(error), error.retry_after_s)
            except Rejected as error:
                await self._rejected(item, error)
        return True

    async def _advance(self, item: QueuedMedia) -> None:
        """One step of a file on its way: an upload is created, found again, given a chunk, or found whole."""
        # Whatever goes wrong from here on, the server is to be asked again.
        offset = self._offsets.pop(item.digest, None)
        url = item.url
        if url is None:
            freed = await self._is_freed(item)
            url, offset = await self._addresses.create(item, freed=freed)
            if freed and offset < item.size:
                raise Rejected("media_lost", f"{offset} of {item.size} bytes are there")
            item = await self._at(msgspec.structs.replace(item, url=url), offset)
        elif offset is None:
            item = await self._at(item, await self._addresses.offset(url))
        elif offset < item.size:
            item = await self._chunk(item, url, offset)
        else:
            self._offsets[item.digest] = offset
        if self._offsets.get(item.digest) == item.size:
            await self._judge(item, await self._addresses.status(url))

    async def _is_freed(self, item: QueuedMedia) -> bool:
        """Whether the server had the whole file and the copy here has gone since."""
        return item.sent == item.size and not await asyncio.to_thread(size_of, self._folder / file_name(item.digest))

    async def _chunk(self, item: QueuedMedia, url: str, offset: int) -> QueuedMedia:
        file = self._folder / file_name(item.digest)
        if await asyncio.to_thread(size_of, file) != item.size:
            raise Rejected("media_damaged", f"{file.name} is not whole on this device any more")
        size = min(self._pace.chunk_bytes, item.size - offset)
        began = self._clocks.monotonic_ms()
        try:
            held = await self._addresses.send(url, file, offset, size)
        except Offline as error:
            self._pace.cut()
            # The server keeps what has reached it: while a broken connection still brings something, it is of use.
            if error.retry_after_s is None and self._cut != (item.digest, offset):
                self._cut = item.digest, offset
                return item
            raise
        self._pace.sent(size, (self._clocks.monotonic_ms() - began) / 1000)
        return await self._at(item, held)

    async def _judge(self, item: QueuedMedia, status: UploadStatus) -> None:
        """The server's receipt for a file that is whole there."""
        if status.state == "complete" and status.digest == item.digest:
            await self._note(msgspec.structs.replace(item, state=Delivery.HELD, code=None, detail=None))
        elif status.code is not None:
            raise Rejected(status.code, status.detail or "")
        else:
            # Its store was not to be reached just now; it finishes by itself.
            await self._postpone(item, None, None, None)

    async def _rejected(self, item: QueuedMedia, error: Rejected) -> None:
        code = error.code
        if code == "digest_mismatch" and not await self._is_sound(item):
            code = "media_damaged"
        if code in _GONE or code in _NEVER:
            item = msgspec.structs.replace(item, url=None, sent=0)
        if code in _NEVER:
            refused = msgspec.structs.replace(item, state=Delivery.REFUSED, code=code, detail=error.detail)
            await self._note(refused)
        else:
            await self._postpone(item, code, error.detail, None)

    async def _is_sound(self, item: QueuedMedia) -> bool:
        return await asyncio.to_thread(is_whole, self._folder / file_name(item.digest), item.digest)

    async def _postpone(
        self, item: QueuedMedia, code: str | None, detail: str | None, retry_after_s: float | None
    ) -> None:
        """Leave a file alone for a while, each time longer; the first time not, where nobody asked for that."""
        self._offsets.pop(item.digest, None)
        failures, wait_s = item.failures + 1, 0.0
        if retry_after_s is not None or failures > 1:
            wait_s = backoff_s(failures, self._random_bytes, retry_after_s, _LONGEST_ASKED_S)
        waits = {"failures": failures, "asked_ms": self._now_ms(), "wait_ms": round(wait_s * 1000)}
        await self._note(msgspec.structs.replace(item, code=code, detail=detail, **waits))

    async def _at(self, item: QueuedMedia, offset: int) -> QueuedMedia:
        """The file, of which the server holds `offset` bytes."""
        self._offsets[item.digest] = offset
        self.acknowledged += max(offset - item.sent, 0)
        # A file that is refused at its end and sent again gets nowhere before it is further than ever.
        furthest = self._furthest.get(item.digest, item.sent)
        failures = 0 if offset > furthest else item.failures
        self._furthest[item.digest] = max(offset, furthest)
        item = msgspec.structs.replace(item, sent=offset, code=None, detail=None, failures=failures)
        await self._note(item)
        return item

    async def _note(self, item: QueuedMedia) -> None:
        await self._store.run(_note, item)
        self._tell(item)


async def keep_sending(
    sender: Sender, records: asyncio.Lock, woken: asyncio.Event, interval_s: float, sleep: Sleep, draw: RandomBytes
) -> None:
    """Send whenever something is due, first when `woken`, until cancelled. Trouble makes it wait longer."""
    failures = 0
    await woken.wait()
    while True:
        woken.clear()
        before = sender.acknowledged
        try:
            await sender.run(records)
        except Exception as error:
            failures = failures + 1 if sender.acknowledged == before else 1
            asked = error.retry_after_s if isinstance(error, Offline) else None
            await sleep(backoff_s(failures, draw, asked))
        else:
            failures = 0
            await _woken_within(woken, await sender.rest_s(interval_s), sleep)


async def _woken_within(woken: asyncio.Event, seconds: float, sleep: Sleep) -> None:
    waits = [asyncio.ensure_future(sleep(seconds)), asyncio.ensure_future(woken.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()


def withdraw_deleted(tables: Tables) -> None:
    """Forget files that only records name which this device has deleted, by the server's word."""
    for item in tables.media.all():
        uses = tables.media.uses_of(item.digest)
        deleted = item.state is not Delivery.HELD and uses and all(_is_deleted(tables, use.record) for use in uses)
        # Others may have named it too.
        if deleted and not tables.records.any_holds(item.digest):
            tables.media.withdraw(item.digest)
            tables.to_sweep = True


def _is_deleted(tables: Tables, record: uuid.UUID) -> bool:
    return any(
        row.change.delete and row.outcome not in (None, Outcome.REFUSED) for row in tables.outbox.of_record(record)
    )


def _next(tables: Tables, now_ms: int, *, on_wifi: bool, whatever_rules: bool) -> QueuedMedia | None:
    """The most urgent file that may be sent now."""
    rules = MediaRules() if whatever_rules else tables.meta.media_rules
    if rules.paused:
        return None
    held_back = () if on_wifi else rules.wifi_only
    return tables.media.next_due(now_ms, held_back)


def _next_due_ms(tables: Tables, now_ms: int) -> int | None:
    return tables.media.next_due_ms(now_ms)


def _is_any_left(tables: Tables) -> bool:
    return any(item.state is not Delivery.HELD for item in tables.media.all())


def _note(tables: Tables, item: QueuedMedia) -> None:
    tables.media.note(item)
    tables.to_sweep |= item.state is Delivery.HELD
