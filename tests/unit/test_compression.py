"""Bodies made smaller and read again, within bounds."""

import gzip
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sync.compression import Coding, compressed, decompressed
from sync.errors import SyncError

MANY = 16 * 2**20
BODY = b'{"changes": []}' * 1_000


def refused(body: bytes, coding: str, limit: int = MANY) -> str:
    """The code with which reading the body ends."""
    with pytest.raises(SyncError) as caught:
        decompressed(body, coding, limit)
    return caught.value.code


@given(st.binary(max_size=5_000), st.sampled_from(list(Coding)))
def test_what_was_compressed_comes_back(body: bytes, coding: Coding) -> None:
    """Any body survives either coding."""
    assert decompressed(compressed(body, coding), coding, MANY) == body


@pytest.mark.parametrize("coding", ["", "identity", " Identity "])
def test_plain_bodies_stay(coding: str) -> None:
    """A body that names no coding is taken as it is."""
    assert decompressed(BODY, coding, MANY) is BODY


def test_what_others_make_is_read() -> None:
    """gzip by another program, and zstd that was streamed and says nothing of its size."""
    streamed = zstandard.ZstdCompressor().compressobj()
    assert decompressed(gzip.compress(BODY), "GZIP", MANY) == BODY
    assert decompressed(streamed.compress(BODY) + streamed.flush(), "zstd", MANY) == BODY


@pytest.mark.parametrize("coding", ["br", "gzip, zstd", "deflate", "x"])
def test_unknown_codings_are_named(coding: str) -> None:
    """A coding the server does not read is refused, also one on top of another."""
    assert refused(BODY, coding) == "media_type_unsupported"


@pytest.mark.parametrize("coding", list(Coding))
def test_broken_bodies(coding: Coding) -> None:
    """Cut short, followed by something, or nothing of the kind: malformed."""
    whole = compressed(BODY, coding)
    for broken in (whole[:-1], whole[:9], whole + b"x", BODY, b"", whole[:6] + b"\xff" * 20):
        assert refused(broken, coding) == "body_malformed"


@pytest.mark.parametrize("coding", list(Coding))
def test_more_than_the_limit_is_refused(coding: Coding) -> None:
    """The limit is of what comes out, whatever went in; just as much passes."""
    assert decompressed(compressed(BODY, coding), coding, len(BODY)) == BODY
    assert refused(compressed(BODY, coding), coding, len(BODY) - 1) == "body_too_large"


@pytest.mark.parametrize("coding", list(Coding))
def test_what_repeats_itself_is_no_bomb(coding: Coding) -> None:
    """A body within the limit is read, however few bytes it became for its way."""
    body = bytes(MANY)
    assert decompressed(compressed(body, coding), coding, MANY) == body


def bombs() -> dict[str, bytes]:
    """A gigabyte of nothing in a few bytes."""
    block = zstandard.ZstdCompressor().compressobj()
    packer = zlib.compressobj(wbits=31)
    zeros = bytes(2**24)
    return {
        "zstd": b"".join([block.compress(zeros) for _ in range(64)]) + block.flush(),
        "gzip": b"".join([packer.compress(zeros) for _ in range(64)]) + packer.flush(),
    }


@pytest.mark.parametrize(("coding", "bomb"), bombs().items())
def test_bombs_take_no_memory(coding: str, bomb: bytes) -> None:
    """What becomes a gigabyte is given up when it has become more than the limit."""
    tracemalloc.start()
    try:
        assert refused(bomb, coding, 2**20) == "body_too_large"
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


def test_a_bomb_that_says_its_size_is_not_even_opened() -> None:
    """A frame that declares too much is refused by its first bytes."""
    assert refused(zstandard.ZstdCompressor().compress(bytes(2**25))[:18], "zstd") == "body_too_large"


def test_a_frame_that_asks_for_a_large_window_is_refused() -> None:
    """No frame makes the reader set aside more memory than 8 MB."""
    settings = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    assert refused(packer.compress(BODY) + packer.flush(), "zstd") == "body_malformed"
