"""Where pictures were used before: what every store of them does."""

import random
from collections.abc import AsyncIterator
from uuid import UUID

import msgspec
import pytest

from media.checks.claims import SeenPicture
from media.checks.seen import MAX_NEAR_BITS, SeenInMemory, SeenPictures
from media.perceptual import distance_bits
from server.media_checks.seen import SeenInDatabase
from server.storage.database import open_database


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def where(request: pytest.FixtureRequest) -> str | None:
    """The URL of the database of each backend; None for memory."""
    return None if request.param == "memory" else request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
async def seen(where: str | None) -> AsyncIterator[SeenPictures]:
    """An empty store of each backend."""
    if where is None:
        yield SeenInMemory()
        return
    database = open_database(where, 2)
    yield SeenInDatabase(database)
    await database.close()


def use(record: int, fingerprint: int | None, digest: str | None = None) -> SeenPicture:
    """A use of a picture by a record; its digest follows from the record where none is given."""
    return SeenPicture(UUID(int=record), digest or f"sha256:{record:064x}", fingerprint)


async def test_the_same_file(seen: SeenPictures) -> None:
    """Uses of the very file are found, also of files without a fingerprint."""
    await seen.remember(use(1, None))
    await seen.remember(use(2, None))
    assert await seen.near(use(1, None).digest, None, 0) == [use(1, None)]


async def test_once(seen: SeenPictures) -> None:
    """Remembering the same use again changes nothing, not even when it was named."""
    first = msgspec.structs.replace(use(1, 7), named_ms=5)
    await seen.remember(first)
    await seen.remember(msgspec.structs.replace(first, named_ms=6))
    assert await seen.near("", 7, 0) == [first]


async def test_two_records_use_one_file(seen: SeenPictures) -> None:
    """One file in two records is two uses."""
    both = [use(1, 7, "sha256:ab"), use(2, 7, "sha256:ab")]
    for one in both:
        await seen.remember(one)
    assert await seen.near("sha256:ab", None, 0) == both


@pytest.mark.parametrize("bits", [0, 3, MAX_NEAR_BITS])
async def test_exactly_those_within(seen: SeenPictures, bits: int) -> None:
    """All pictures within the bits asked for are found, and no other: hashes with the top bit set as well."""
    chance = random.Random(bits)
    mark = 2**64 - 1 ^ chance.getrandbits(60)
    uses = [use(at, mark ^ sum(1 << bit for bit in chance.sample(range(64), at % 12))) for at in range(1, 120)]
    for one in uses:
        await seen.remember(one)
    found = await seen.near("", mark, bits)
    assert found == [one for one in uses if distance_bits(one.fingerprint or 0, mark) <= bits]
    assert found


async def test_forgotten(seen: SeenPictures) -> None:
    """The uses by a record that is erased are gone, those of others stay."""
    await seen.remember(use(1, 7))
    await seen.remember(use(2, 7))
    await seen.forget(UUID(int=1))
    assert await seen.near("", 7, 7) == [use(2, 7)]
