"""The tables of synced records: their current state, the log of changes, and the feeds devices read.

Columns bear the names of the fields of `StoredRecord`, `LoggedChange` and `FeedRow` (sync.storage).
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Sequence, String, Table, Text

from server.storage.metadata import BYTEWISE_TEXT, Identifier, metadata

VERSION_BLOCK = 64
"""Versions one step of the sequence stands for: the step's value is the first of them."""

# PostgreSQL only. SQLite has one writer at a time and counts in `store.last_version`.
record_versions = Sequence("record_versions", start=1, increment=VERSION_BLOCK, metadata=metadata)

records = Table(
    "records",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("type", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("tx", BigInteger, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("owner", Text),
    Column("fields", LargeBinary, nullable=False),
    Column("marks", LargeBinary, nullable=False),
    Column("district", String(6), nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("type_version", BigInteger, nullable=False, server_default="1"),
    Index("records_of_type", "type", "id"),
)

changes = Table(
    "changes",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("device", Identifier, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("user", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("record", Identifier, nullable=False),
    Column("district", String(6), nullable=False),
    Column("base", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("stamp", BigInteger, nullable=False),
    Column("outcome", String(8), nullable=False),
    Column("code", Text),
    Column("detail", Text),
    Column("attention", Identifier),
    Column("captured_ms", BigInteger, nullable=False),
    Column("error_ms", BigInteger),
    Column("received_ms", BigInteger, nullable=False),
    Column("deletes", Boolean, nullable=False),
    Column("fields", LargeBinary, nullable=False),
    Column("before", LargeBinary, nullable=False),
    Column("type_version", BigInteger, nullable=False, server_default="1"),
    Column("wall_ms", BigInteger),
    Index("changes_of_record", "record"),
)

feed = Table(
    "feed",
    metadata,
    Column("feed", BYTEWISE_TEXT, primary_key=True),
    Column("tx", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("record", Identifier, nullable=False),
    Column("gone", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

device_sequences = Table(
    "device_sequences",
    metadata,
    Column("device", Identifier, primary_key=True),
    Column("held", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

store = Table(
    "store",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Identifier, nullable=False),
    Column("last_version", BigInteger, nullable=False),
    Column("purged_tx", BigInteger, nullable=False, server_default="0"),
    Column("purged_version", BigInteger, nullable=False, server_default="0"),
)
"""One row, id 1."""
