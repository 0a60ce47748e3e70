"""The life of an upload, played through at random: what is held is always a beginning of what was sent."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import AtOffset, MediaError
from media.tus import Checksum
from media.uploads import Arrival, Chunk, State, Upload, admit, check_alive, held_after

NOW = 1_790_000_000_000
LARGEST = 1_000
SHA1 = Checksum("sha1", b"\0" * 20)


def upload(offset: int = 0, length: int | None = 100, **changed: object) -> Upload:
    """An open upload that lives for a second more."""
    return Upload(offset=offset, length=length, expires_ms=NOW + 1_000, **changed)  # type: ignore[arg-type]


def code_of(state: Upload, chunk: Chunk, now_ms: int = NOW) -> str | None:
    """The code by which a chunk is turned away."""
    try:
        admit(state, chunk, LARGEST, now_ms)
    except MediaError as error:
        return error.code
    return None


_requests: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    offset=st.integers(0, 130),
    said=st.none() | st.integers(0, 130),
    length=st.none() | st.integers(0, 1_100),
    checksum=st.booleans(),
    arrives=st.integers(0, 130),
    ended=st.booleans(),
    true=st.booleans(),
    aims=st.booleans(),
)


@given(length=st.none() | st.integers(1, 100), requests=st.lists(_requests, max_size=30))
def test_held_bytes_never_shrink_nor_pass_the_length(length: int | None, requests: list[dict[str, Any]]) -> None:
    """Whatever requests come, held bytes only grow, by what the one request brought, and stay within the length."""
    state = upload(length=length)
    for one in requests:
        offset = state.offset if one["aims"] else one["offset"]
        chunk = Chunk(offset, one["said"], one["length"], SHA1 if one["checksum"] else None)
        try:
            admission = admit(state, chunk, LARGEST, NOW)
        except MediaError:
            continue
        arrival = Arrival(one["arrives"], bool(one["ended"]), bool(one["true"]) if one["checksum"] else None)
        held = held_after(admission, arrival)
        assert admission.start == state.offset == offset
        assert held in (state.offset, state.offset + one["arrives"])
        assert held <= (LARGEST if admission.length is None else admission.length)
        if one["checksum"] and not (one["ended"] and one["true"]):
            assert held == state.offset
        state = upload(held, admission.length)


def test_what_a_broken_connection_brought_is_kept() -> None:
    """Without a checksum every byte that arrived counts."""
    admission = admit(upload(10), Chunk(10, 50), LARGEST, NOW)
    assert held_after(admission, Arrival(33, ended=False)) == 43


@pytest.mark.parametrize(
    ("arrival", "held"),
    [
        (Arrival(50, ended=True, matches=True), 60),
        (Arrival(50, ended=True, matches=False), 10),
        (Arrival(33, ended=False, matches=False), 10),
    ],
)
def test_a_checksum_vouches_for_all_or_nothing(arrival: Arrival, held: int) -> None:
    """With a checksum a chunk counts when all of it arrived as it was meant."""
    assert held_after(admit(upload(10), Chunk(10, 50, None, SHA1), LARGEST, NOW), arrival) == held


def test_a_body_longer_than_it_may_be_counts_nothing() -> None:
    """Of a body that runs past the upload's length nothing is kept."""
    admission = admit(upload(90), Chunk(90), LARGEST, NOW)
    assert held_after(admission, Arrival(11, ended=False)) == 90


@pytest.mark.parametrize("offset", [0, 9, 11, 100])
def test_another_offset_is_told_the_right_one(offset: int) -> None:
    """A chunk for another place than the next is turned away with the right one."""
    with pytest.raises(AtOffset) as caught:
        admit(upload(10), Chunk(offset), LARGEST, NOW)
    assert (caught.value.code, caught.value.offset) == ("offset_mismatch", 10)


@pytest.mark.parametrize(
    ("state", "chunk", "code"),
    [
        (upload(90), Chunk(90, 11), "upload_overrun"),
        (upload(0, None), Chunk(0, None, 2_000), "upload_too_large"),
        (upload(0, None), Chunk(0, None, 0), "media_empty"),
        (upload(10, None), Chunk(10, None, 9), "upload_header_invalid"),
        (upload(0, 100), Chunk(0, None, 99), "upload_header_invalid"),
        (upload(0, None), Chunk(0, 1_001), "upload_overrun"),
        (upload(0, 100, final=True), Chunk(0, 1), "upload_final"),
        (upload(0, 100, state=State.ENDED), Chunk(0, 1), "upload_gone"),
        (upload(10, 100), Chunk(10, 90), None),
        (upload(10, None), Chunk(10, 90, 100), None),
        (upload(0, 100), Chunk(0, 1, 100), None),
        (upload(100, 100, state=State.COMPLETE), Chunk(100, 0), None),
    ],
)
def test_what_a_chunk_may_claim(state: Upload, chunk: Chunk, code: str | None) -> None:
    """Lengths that lie, and uploads that take nothing any more, are told apart."""
    assert code_of(state, chunk) == code


def test_a_deferred_length_once_told_stays() -> None:
    """The first chunk that tells the length settles it."""
    assert admit(upload(10, None), Chunk(10, 5, 40), LARGEST, NOW).length == 40


def test_expiry() -> None:
    """An unfinished upload is gone at the moment it expires; a complete one still answers."""
    assert code_of(upload(), Chunk(0, 1), NOW + 999) is None
    assert code_of(upload(), Chunk(0, 1), NOW + 1_000) == "upload_gone"
    check_alive(upload(100, state=State.COMPLETE), NOW + 10_000)
