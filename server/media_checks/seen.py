"""Where pictures were used before, in the database: `media.checks.seen.SeenPictures`."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select, union

from media.checks.claims import SeenPicture
from media.perceptual import BANDS, HASH_BITS, bands, distance_bits, probes
from server.media_checks.tables import seen_pictures as seen
from server.storage.database import Database
from server.storage.upsert import upsert

_SIGN = 1 << HASH_BITS - 1
_BANDS = [seen.c[f"band{at}"] for at in range(BANDS)]


class SeenInDatabase:
    """The uses of pictures in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def remember(self, use: SeenPicture) -> None:
        """Note that a record uses a picture."""
        mark = use.fingerprint
        quarters = (None,) * BANDS if mark is None else bands(mark)
        values = {
            "digest": use.digest,
            "record": use.record,
            "fingerprint": None if mark is None else _signed(mark),
            "noted_ms": use.named_ms,
            **{column.name: quarter for column, quarter in zip(_BANDS, quarters, strict=True)},
        }
        async with self._database.engine.begin() as connection:
            await connection.execute(upsert(connection, seen).values(values).on_conflict_do_nothing())

    async def near(self, digest: str, fingerprint: int | None, within_bits: int) -> Sequence[SeenPicture]:
        """The uses of the very file, and of pictures near it: each band is looked up by its index."""
        wanted: list[ColumnElement[bool]] = [seen.c.digest == digest]
        if fingerprint is not None:
            pairs = zip(_BANDS, bands(fingerprint), strict=True)
            wanted += [column.in_(list(probes(band))) for column, band in pairs]
        columns = (seen.c.record, seen.c.digest, seen.c.fingerprint, seen.c.noted_ms)
        parts = (select(*columns).where(one) for one in wanted)
        async with self._database.read_engine.connect() as connection:
            rows = (await connection.execute(union(*parts))).all()
        uses = [
            SeenPicture(record, name, None if mark is None else _unsigned(mark), noted)
            for record, name, mark, noted in rows
        ]
        found = [use for use in uses if use.digest == digest or _is_near(use, fingerprint, within_bits)]
        return sorted(found, key=lambda use: (use.record.int, use.digest))

    async def forget(self, record: UUID) -> None:
        """Drop the uses by a record."""
        async with self._database.engine.begin() as connection:
            await connection.execute(delete(seen).where(seen.c.record == record))


def _is_near(use: SeenPicture, fingerprint: int | None, within_bits: int) -> bool:
    if use.fingerprint is None or fingerprint is None:
        return False
    return distance_bits(use.fingerprint, fingerprint) <= within_bits


def _signed(value: int) -> int:
    return value - 2 * _SIGN if value >= _SIGN else value


def _unsigned(value: int) -> int:
    return value + 2 * _SIGN if value < 0 else value
