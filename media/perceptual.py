"""Perceptual hashes: 64 bits that stay nearly the same when a picture is scaled, recompressed or brightened.

The hash is the signs of the 64 lowest waves of a 32 by 32 grey picture (discrete cosine transform) against their
median, the constant left out: "pHash" (Zauner 2010), in the layout of the imagehash library's `phash_simple`.
"""

import math
import operator
import statistics
from collections.abc import Iterator, Sequence

SIDE = 32
"""The grey picture a hash is made of is SIDE by SIDE pixels."""
HASH_BITS = 64
BANDS, BAND_BITS = 4, 16
FLAT_LEVELS = 3.0
"""A picture whose grey levels (0 to 255) vary less, by standard deviation, has no features to go by."""

_WAVES = 8
_COSINES = [[math.cos(math.pi * wave * (2 * x + 1) / (2 * SIDE)) for x in range(SIDE)] for wave in range(_WAVES + 1)]


def fingerprint(grey: Sequence[int]) -> int | None:
    """The hash of SIDE * SIDE grey levels, row by row; None for a picture without features."""
    if len(grey) != SIDE * SIDE:
        raise ValueError(f"a fingerprint is made of {SIDE * SIDE} grey levels, not {len(grey)}")
    if statistics.pstdev(grey) < FLAT_LEVELS:
        return None
    rows = [grey[at : at + SIDE] for at in range(0, SIDE * SIDE, SIDE)]
    across = [[_dot(row, _COSINES[wave]) for row in rows] for wave in range(1, _WAVES + 1)]
    waves = [_dot(column, _COSINES[wave]) for wave in range(_WAVES) for column in across]
    middle = statistics.median(waves)
    return sum(1 << bit for bit, wave in enumerate(waves) if wave > middle)


def distance_bits(one: int, other: int) -> int:
    """In how many of 64 bits two hashes differ (Hamming): 0 the same, 32 as far apart as chance has it."""
    return (one ^ other).bit_count()


def bands(value: int) -> tuple[int, ...]:
    """The hash in BANDS pieces of BAND_BITS bits, lowest first."""
    return tuple(value >> shift & 0xFFFF for shift in range(0, HASH_BITS, BAND_BITS))


def probes(band: int) -> Iterator[int]:
    """The values of a band that differ from `band` in at most one bit.

    Two hashes at most 7 bits apart agree to within one bit in one of four bands at least (7 = 4 * 1 + 3), so
    looking up the probes of every band finds them all (multi-index hashing, Norouzi 2012).
    """
    yield band
    for bit in range(BAND_BITS):
        yield band ^ 1 << bit


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return float(sum(map(operator.mul, one, other)))
