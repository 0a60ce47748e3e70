"""Verification: the device's copies proven equal to what the server says, or what differs found and fetched."""

import uuid
from collections.abc import Iterable, Mapping
from itertools import islice

import msgspec

from client_sdk.connection import Connection
from client_sdk.errors import Rejected
from client_sdk.reports import OnProgress, Progress, VerifyReport
from client_sdk.store import exchanging
from client_sdk.store.thread import StoreThread
from client_sdk.store.verifying import digest_page, entry_page
from field_schemas.scopes import feed_key
from sync.digest import RANGE_DIGITS, Entry, RangeDigest, differing, digest_ranges, range_key
from sync.messages import DigestRequest, DigestResponse, FetchRequest
from sync.verify import repairs

MOST_DIGESTS = 300
"""Copies that need more questions than this are cheaper read afresh."""
_FETCH = 500
_LONGEST_PREFIX = 10
_SUM = 2**64


class TooDifferent(Exception):
    """So much differs that reading everything afresh is cheaper."""


class Verification:
    """One verification from the digests to the repair; `types` are the record types this program knows."""

    def __init__(
        self, store: StoreThread, connection: Connection, types: Mapping[str, int], tell: OnProgress
    ) -> None:
        self._store = store
        self._connection = connection
        self._types = dict(types)
        self._tell = tell
        self._before = msgspec.structs.replace(connection.traffic)
        self._asked = 0
        self._scopes = 0
        self._compared = 0
        self._suspects: set[uuid.UUID] = set()

    async def run(self, scopes: Iterable[str]) -> VerifyReport:
        """Check the copies in `scopes`, which the last pull named, and repair them.

        Raises TooDifferent, OtherContents.
        """
        checked = sorted(scopes)
        own = await self._own_digests({feed_key(scope) for scope in checked})
        for number, scope in enumerate(checked, 1):
            await self._check(scope, own.get(feed_key(scope), {}))
            self._tell(Progress("verify", number, len(checked)))
            self._scopes += 1
        repaired = await self._repair()
        return self._report(repaired)

    def read_afresh(self, fetched: int, forgotten: int) -> VerifyReport:
        """The report after TooDifferent, when everything was read again."""
        return self._report(exchanging.Pulled(fetched, forgotten))

    def _report(self, repaired: exchanging.Pulled) -> VerifyReport:
        before, after = self._before, self._connection.traffic
        return VerifyReport(
            scopes=self._scopes,
            compared=self._compared,
            fetched=repaired.received,
            forgotten=repaired.forgotten,
            requests=after.requests - before.requests,
            bytes_sent=after.sent - before.sent,
            bytes_received=after.received - before.received,
        )

    async def _own_digests(self, feeds: set[str]) -> dict[str, dict[str, RangeDigest]]:
        own: dict[str, dict[str, RangeDigest]] = {}
        after: int | None = 0
        while after is not None:
            page = await self._store.run(digest_page, feeds, after)
            for feed, ranges in page.digests.items():
                own[feed] = _added(own.get(feed, {}), ranges)
            self._suspects.update(page.strays)
            after = page.last
        return own

    async def _check(self, scope: str, ours: dict[str, RangeDigest]) -> None:
        try:
            theirs = await self._digests(scope, "")
        except Rejected as error:
            if error.code != "scope_denied":
                raise
            # Gone since the pull, which the next one tells.
            return
        self._compared += theirs.count
        ranges = differing(ours, theirs.ranges)
        if not ranges:
            return
        entries = await self._entries(feed_key(scope), ranges)
        if theirs.records is not None:
            self._compare(entries, (one for one in theirs.records if range_key(one[0])[:RANGE_DIGITS] in ranges))
            return
        for key in ranges:
            await self._narrow(scope, key, _within(entries, key))

    async def _narrow(self, scope: str, prefix: str, entries: dict[uuid.UUID, int]) -> None:
        if len(prefix) > _LONGEST_PREFIX:
            self._suspects.update(entries)
            return
        theirs = await self._digests(scope, prefix)
        if theirs.records is not None:
            self._compare(entries, theirs.records)
            return
        for key in differing(digest_ranges(entries.items(), prefix), theirs.ranges):
            await self._narrow(scope, key, _within(entries, key))

    async def _digests(self, scope: str, prefix: str) -> DigestResponse:
        if self._asked == MOST_DIGESTS:
            raise TooDifferent
        self._asked += 1
        return await self._connection.digests(DigestRequest(scope, prefix, self._types))

    async def _entries(self, feed: str, ranges: list[str]) -> dict[uuid.UUID, int]:
        entries: dict[uuid.UUID, int] = {}
        after: int | None = 0
        while after is not None:
            page = await self._store.run(entry_page, feed, ranges, after)
            entries.update(page.entries)
            after = page.last
        return entries

    def _compare(self, ours: Mapping[uuid.UUID, int], theirs: Iterable[Entry]) -> None:
        for records in repairs(ours, dict(theirs)):
            self._suspects.update(records)

    async def _repair(self) -> exchanging.Pulled:
        """Ask for everything suspicious: it may lie elsewhere by now, so only the server says what to forget."""
        received = forgotten = 0
        waiting = iter(sorted(self._suspects))
        while ids := list(islice(waiting, _FETCH)):
            response = await self._connection.fetch(FetchRequest(ids, self._types))
            repaired = await self._store.run(exchanging.take_fetched, response)
            received += repaired.received
            forgotten += repaired.forgotten
        return exchanging.Pulled(received, forgotten)


def _within(entries: Mapping[uuid.UUID, int], prefix: str) -> dict[uuid.UUID, int]:
    return {record: version for record, version in entries.items() if range_key(record).startswith(prefix)}


def _added(one: dict[str, RangeDigest], other: dict[str, RangeDigest]) -> dict[str, RangeDigest]:
    """The digests of two disjoint sets of records together."""
    total = dict(one)
    for key, more in other.items():
        known = total.get(key)
        if known is None:
            total[key] = more
        else:
            added = (int(known.sum, 16) + int(more.sum, 16)) % _SUM
            total[key] = RangeDigest(known.count + more.count, f"{added:016x}")
    return total
