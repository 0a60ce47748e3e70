"""Digests tell equal copies from different ones, and where they differ."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from sync.digest import differing, digest_ranges, range_key

ENTRIES = st.dictionaries(st.uuids(), st.integers(1, 2**40), max_size=40)


@given(ENTRIES, st.randoms(use_true_random=False))
def test_order_does_not_matter(copy: dict[uuid.UUID, int], random: object) -> None:
    """The same records in another order give the same digests."""
    rows = list(copy.items())
    random.shuffle(rows)  # type: ignore[attr-defined]
    assert digest_ranges(rows) == digest_ranges(copy.items())


@given(ENTRIES, st.uuids(), st.integers(1, 9))
def test_any_difference_shows(copy: dict[uuid.UUID, int], record: uuid.UUID, version: int) -> None:
    """A missing, additional or older record shows in its range and in no other."""
    other = {key: value for key, value in copy.items() if key != record}
    with_it = other | {record: version}
    assert differing(digest_ranges(other.items()), digest_ranges(with_it.items())) == [range_key(record)[:2]]
    newer = other | {record: version + 1}
    assert differing(digest_ranges(newer.items()), digest_ranges(with_it.items())) == [range_key(record)[:2]]


@given(ENTRIES)
def test_ranges_add_up(copy: dict[uuid.UUID, int]) -> None:
    """A range holds exactly what the ranges it splits into hold."""
    whole = digest_ranges(copy.items())
    for key, digest in whole.items():
        parts = digest_ranges(copy.items(), key).values()
        assert sum(part.count for part in parts) == digest.count
        assert f"{sum(int(part.sum, 16) for part in parts) % 2**64:016x}" == digest.sum
