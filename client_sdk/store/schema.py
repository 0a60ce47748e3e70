"""The tables, and how the file is opened."""

import sqlite3
from pathlib import Path

from client_sdk.errors import StoreInUse, StoreTooNew

_IMPLAUSIBLE_VERSION = 1_000
"""From here on a schema number is damage, not progress."""

# records.fields is the record as the user sees it; records.server is what the server said, kept only where own
# changes make a difference. cell, lon, lat are empty for what a place query must not find. round counts the times
# the server's contents were replaced (epoch); gone marks what is to be dropped once own work on it is sent.
# outbox.live marks the changes that fields holds on top of what the server said; outcome is empty until the verdict.
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE records (
    rowid INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    type TEXT NOT NULL,
    version INTEGER NOT NULL,
    owner TEXT,
    round INTEGER NOT NULL,
    gone INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    cell INTEGER,
    lon REAL,
    lat REAL,
    fields BLOB NOT NULL,
    server BLOB
);

CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    record BLOB NOT NULL,
    type TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    live INTEGER NOT NULL DEFAULT 1,
    outcome TEXT,
    version INTEGER NOT NULL DEFAULT 0,
    code TEXT,
    detail TEXT,
    attention BLOB,
    change BLOB NOT NULL
);
CREATE INDEX outbox_record ON outbox (record, seq);
CREATE INDEX outbox_live ON outbox (record) WHERE live = 1;
CREATE INDEX outbox_pending ON outbox (seq) WHERE outcome IS NULL;

CREATE VIRTUAL TABLE search USING fts5(text, columnsize=0);
"""
# Missing only while a snapshot is being loaded.
_RECORD_INDEXES = {
    "records_place": "records (type, cell, lon, lat) WHERE cell IS NOT NULL",
    "records_type": "records (type, id) WHERE deleted = 0",
}

# Since schema 2. media is the queue of photos and videos, a row a file; media_uses says which records name them;
# media_copies are those of others that were fetched to be looked at. The files lie in the folder beside the store.
_MEDIA_TABLES = """
CREATE TABLE media (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    name TEXT NOT NULL,
    urgency INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    url TEXT,
    sent INTEGER NOT NULL DEFAULT 0,
    code TEXT,
    detail TEXT
);
CREATE INDEX media_waiting ON media (urgency, id) WHERE state = 'waiting';

CREATE TABLE media_uses (
    digest TEXT NOT NULL,
    record BLOB NOT NULL,
    field TEXT NOT NULL,
    PRIMARY KEY (digest, record, field)
) WITHOUT ROWID;

CREATE TABLE media_copies (
    name TEXT PRIMARY KEY,
    record BLOB NOT NULL,
    size INTEGER NOT NULL,
    used_ms INTEGER NOT NULL
);
CREATE INDEX media_copies_of_record ON media_copies (record);
"""

# Since schema 3. A file is left alone for wait_ms from asked_ms on, after so many failures in a row.
_MEDIA_WAITS = """
ALTER TABLE media ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE media ADD COLUMN asked_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE media ADD COLUMN wait_ms INTEGER NOT NULL DEFAULT 0;
"""
_STEPS = (_TABLES, _MEDIA_TABLES, _MEDIA_WAITS)
SCHEMA_VERSION = len(_STEPS)


def index_records(db: sqlite3.Connection) -> None:
    """Make the indexes of records that are missing: 2 s for 500,000 records on a slow machine."""
    for name, columns in _RECORD_INDEXES.items():
        db.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}")


def drop_record_indexes(db: sqlite3.Connection) -> None:
    """Do without these indexes while many records arrive: queries find the same, by looking at all records."""
    for name in _RECORD_INDEXES:
        db.execute(f"DROP INDEX IF EXISTS {name}")


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the file, for this process alone. Raises StoreInUse; sqlite3.DatabaseError when damaged."""
    db = sqlite3.connect(path, isolation_level=None, timeout=1.0, cached_statements=256)
    try:
        # Sequence numbers and clocks are counted in memory too: a second writer would count its own.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -16000")
        db.execute("PRAGMA temp_store = MEMORY")
        _create_tables(db)
    except sqlite3.OperationalError as error:
        db.close()
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreInUse(f"{path} is open elsewhere") from error
        raise
    except BaseException:
        db.close()
        raise
    return db


def _create_tables(db: sqlite3.Connection) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION:
        db.execute("BEGIN IMMEDIATE")
        index_records(db)
        db.execute("COMMIT")
        return
    if SCHEMA_VERSION < version < _IMPLAUSIBLE_VERSION:
        raise StoreTooNew(f"the store has schema {version}, this program knows {SCHEMA_VERSION}; update it")
    if not 0 <= version < SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"the store has schema {version}, this program knows {SCHEMA_VERSION}")
    steps = "".join(_STEPS[version:])
    db.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT")
    index_records(db)
