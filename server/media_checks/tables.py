"""The table of pictures in use."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from media.perceptual import BANDS
from server.storage.metadata import Identifier, metadata

seen_pictures = Table(
    "seen_pictures",
    metadata,
    Column("digest", String(80), primary_key=True),
    Column("record", Identifier, primary_key=True),
    Column("fingerprint", BigInteger),
    Column("noted_ms", BigInteger, nullable=False, server_default="0"),
    *(Column(f"band{at}", Integer) for at in range(BANDS)),
    Index("seen_pictures_of_record", "record"),
    *(Index(f"seen_pictures_by_band{at}", f"band{at}") for at in range(BANDS)),
)
"""`fingerprint` is the perceptual hash as a signed number, empty where there is none; the bands are its quarters.
`noted_ms` is when the server received the change by which the record names it (0: before that was kept)."""
