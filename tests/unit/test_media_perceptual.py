"""Perceptual hashes: near for the same picture however it was saved, far for others, and found by their bands."""

import io
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from media.inspection.pictures import grey_levels
from media.perceptual import SIDE, bands, distance_bits, fingerprint, probes
from media.thresholds import Thresholds
from tests.photos import encoded, scene

HASHES = st.integers(0, 2**64 - 1)
NEAR = Thresholds().photo_same_bits


def mark(picture: Image.Image) -> int:
    """The fingerprint of a picture that has one."""
    found = fingerprint(grey_levels(picture))
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(8))
def test_saved_again(seed: int) -> None:
    """A picture scaled down, recompressed, brightened or faded keeps its fingerprint but for a few bits."""
    picture = scene(seed)
    changed = [
        picture.resize((200, 150)),
        Image.open(io.BytesIO(encoded(picture, quality=30))),
        ImageEnhance.Brightness(picture).enhance(1.15),
        ImageEnhance.Color(picture).enhance(0.2),
    ]
    assert max(distance_bits(mark(picture), mark(other)) for other in changed) <= NEAR


def test_other_scenes() -> None:
    """Different scenes lie far apart: no pair of 60 comes near the threshold."""
    marks = [mark(scene(seed, (160, 120))) for seed in range(60)]
    assert min(distance_bits(one, other) for one, other in combinations(marks, 2)) > 2 * NEAR


def test_flat_pictures_have_none() -> None:
    """A wall, a lens cap, the sky: nothing to tell them apart by, so they are never called reused."""
    assert fingerprint([127 + at % 3 for at in range(SIDE * SIDE)]) is None


def test_size_of_the_grey_picture() -> None:
    """Anything but SIDE by SIDE levels is a mistake."""
    with pytest.raises(ValueError, match="1024"):
        fingerprint([0] * 64)


@given(HASHES, st.sets(st.integers(0, 63), max_size=7))
def test_bands_find_all_within_seven_bits(one: int, bits: set[int]) -> None:
    """Two hashes up to 7 bits apart share a band to within one bit: looking up the probes of each finds them."""
    other = one ^ sum(1 << bit for bit in bits)
    assert distance_bits(one, other) == len(bits)
    assert any(theirs in set(probes(mine)) for mine, theirs in zip(bands(one), bands(other), strict=True))


@given(HASHES)
def test_bands_are_the_whole_hash(one: int) -> None:
    """The bands put together are the hash, and each is below 2^16."""
    assert sum(band << 16 * at for at, band in enumerate(bands(one))) == one
    assert all(band < 2**16 for band in bands(one))
