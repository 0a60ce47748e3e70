"""Where pictures were used before: what a store of them must do, and one in memory."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from media.checks.claims import SeenPicture
from media.perceptual import bands, distance_bits, probes

MAX_NEAR_BITS = 7
"""How far apart two hashes may be and still be found by their bands."""


class SeenPictures(Protocol):
    """All uses of pictures by anyone. Remembering the same use again changes nothing, nor when it was named."""

    async def remember(self, use: SeenPicture) -> None:
        """Note that a record uses a picture."""

    async def near(self, digest: str, fingerprint: int | None, within_bits: int) -> Sequence[SeenPicture]:
        """The uses of the very file `digest`, and of pictures within `within_bits` of 64 (at most MAX_NEAR_BITS)."""

    async def forget(self, record: UUID) -> None:
        """Drop the uses by a record that is erased."""


class SeenInMemory:
    """The uses of pictures in this process."""

    def __init__(self) -> None:
        self._by_digest: defaultdict[str, set[SeenPicture]] = defaultdict(set)
        self._by_band: defaultdict[tuple[int, int], set[SeenPicture]] = defaultdict(set)

    async def remember(self, use: SeenPicture) -> None:
        """Note that a record uses a picture."""
        if any(known.record == use.record for known in self._by_digest[use.digest]):
            return
        self._by_digest[use.digest].add(use)
        if use.fingerprint is not None:
            for at, band in enumerate(bands(use.fingerprint)):
                self._by_band[at, band].add(use)

    async def near(self, digest: str, fingerprint: int | None, within_bits: int) -> Sequence[SeenPicture]:
        """The uses of the very file, and of pictures near it."""
        found = set(self._by_digest.get(digest, ()))
        for at, band in enumerate(bands(fingerprint) if fingerprint is not None else ()):
            for probe in probes(band):
                found |= _within(self._by_band.get((at, probe), set()), fingerprint or 0, within_bits)
        return sorted(found, key=lambda use: (use.record.int, use.digest))

    async def forget(self, record: UUID) -> None:
        """Drop the uses by a record."""
        for uses in (*self._by_digest.values(), *self._by_band.values()):
            uses -= {use for use in uses if use.record == record}


def _within(uses: set[SeenPicture], fingerprint: int, bits: int) -> set[SeenPicture]:
    return {
        use for use in uses if use.fingerprint is not None and distance_bits(use.fingerprint, fingerprint) <= bits
    }
