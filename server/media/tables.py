"""The tables of media. Times are UTC ms, digests as records name media ("sha256:<hex>")."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, text, true

from server.storage.metadata import Identifier, metadata

_WAITS = text("check_ms IS NOT NULL")

uploads = Table(
    "uploads",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("device", ForeignKey("devices.id"), nullable=False),
    Column("user", String(64), nullable=False),
    Column("state", String(8), nullable=False),
    Column("length", BigInteger),
    Column("reserved", BigInteger, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("announced", String(80)),
    Column("concat", Text),
    Column("digest", String(80)),
    Column("code", Text),
    Column("detail", Text),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Index("uploads_of_device", "device", "created_ms"),
    Index("uploads_by_state", "state", "expires_ms"),
)
"""`metadata` and `concat` are headers as they came; `announced` is the digest the client told, `digest` what it is.

`reserved` counts against the device's quota. `code` and `detail` say why a whole upload was refused.
"""

blobs = Table(
    "blobs",
    metadata,
    Column("digest", String(80), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("media_type", String(40), nullable=False),
    Column("stored_ms", BigInteger),
    Column("idle_since_ms", BigInteger),
    Column("collecting", Boolean, nullable=False),
)
"""`stored_ms` is empty until the bytes are in the store. Nothing has referred to the blob since `idle_since_ms`;
`collecting`: its bytes are being removed, and are put back by nobody before its row is gone."""

media_claims = Table(
    "media_claims",
    metadata,
    Column("digest", String(80), primary_key=True),
    Column("user", String(64), primary_key=True),
    Column("device", Identifier, nullable=False),
    Column("claimed_ms", BigInteger, nullable=False),
    Column("sent", Boolean, nullable=False, server_default=true()),
)
"""Who has shown to hold the bytes, by having `sent` them or by being allowed to read them."""

media_references = Table(
    "media_references",
    metadata,
    Column("digest", String(80), primary_key=True),
    Column("record", Identifier, primary_key=True),
    Column("field", String(64), primary_key=True),
    Column("user", String(64), primary_key=True),
    Column("noted_ms", BigInteger, nullable=False),
    Column("check_ms", BigInteger),
    Column("checks", Integer, nullable=False),
    Column("basis", String(64)),
    Index("media_references_to_check", "user", "check_ms", sqlite_where=_WAITS, postgresql_where=_WAITS),
    Index("media_references_of_record", "record"),
)
"""Which field of which record was said, by whom ("": nobody knows), to name a blob. It is checked at `check_ms`
(empty: it was), for the `checks`-th time; `basis` is what the record was like when that was done."""
