"""Digests of a copy, to prove two copies equal or find where they differ. Pure.

A copy is a set of (record id, version). Its records are spread over ranges by the random tail of their ids; a range
is named by the first hex digits of that tail. The digest of a range is the count and the sum of its entries' hashes,
so it does not depend on order, and ranges add up.
"""

import hashlib
import uuid
from collections.abc import Iterable

import msgspec

RANGE_DIGITS = 2
"""A range splits into 16^RANGE_DIGITS ranges."""
_TAIL = 20
_MODULUS = 2**64

Entry = tuple[uuid.UUID, int]


class RangeDigest(msgspec.Struct, array_like=True, frozen=True):
    """How many records a range holds, and the sum of their hashes (16 hex digits)."""

    count: int
    sum: str


def range_key(record: uuid.UUID) -> str:
    """The hex digits by which a record falls into ranges: the random tail of a UUIDv7."""
    return record.hex[_TAIL:]


def digest_ranges(entries: Iterable[Entry], prefix: str = "") -> dict[str, RangeDigest]:
    """The digests of the ranges that the range `prefix` splits into; empty ones are left out."""
    width = len(prefix) + RANGE_DIGITS
    counts: dict[str, int] = {}
    sums: dict[str, int] = {}
    for record, version in entries:
        key = range_key(record)[:width]
        if key.startswith(prefix):
            counts[key] = counts.get(key, 0) + 1
            sums[key] = sums.get(key, 0) + _entry_hash(record, version)
    return {key: RangeDigest(count, f"{sums[key] % _MODULUS:016x}") for key, count in counts.items()}


def differing(ours: dict[str, RangeDigest], theirs: dict[str, RangeDigest]) -> list[str]:
    """The ranges in which the copies differ, sorted."""
    return sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))


def _entry_hash(record: uuid.UUID, version: int) -> int:
    digest = hashlib.blake2b(record.bytes + version.to_bytes(8, "big"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
