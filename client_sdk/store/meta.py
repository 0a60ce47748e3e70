"""What the device knows beside records and changes: a value a key."""

import sqlite3
import uuid
from typing import TypeVar

import msgspec

from client_sdk.identity import Identity
from client_sdk.store.frames import IDENTITY, RECEIPT, frame, unframe
from client_sdk.store.media import MediaRules
from field_schemas.access import Grant
from field_schemas.media import DigestName
from media.thresholds import Thresholds
from sync.clock import Anchor
from sync.messages import Snapshot
from sync.receipts import Receipt

T = TypeVar("T")
_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode


class Account(msgspec.Struct, frozen=True):
    """The signed-in user and their session; empty tokens once it has ended. `expires_ms` is true UTC time.

    `server_key` is the server's key as it was told at the sign-in; receipts must be signed by it. Media is named
    by its `media_digest`, and checked by its `thresholds`.
    """

    user: str
    display_name: str
    grants: tuple[Grant, ...]
    access_token: str = ""
    expires_ms: int = 0
    refresh_token: str = ""
    server_key: str = ""
    media_digest: DigestName = "sha256"
    thresholds: Thresholds = Thresholds()


class KeptReceipt(msgspec.Struct, frozen=True):
    """A receipt that was checked, with the signed text it was read from."""

    text: str
    receipt: Receipt


class Progressed(msgspec.Struct, frozen=True):
    """How far the server is read. `round` counts how often reading began anew, `finished` is the last that came to an
    end; since round `replaced` the server's contents are the same: versions of copies from then on can be compared.
    """

    epoch: uuid.UUID | None = None
    cursor: str | None = None
    scopes: tuple[str, ...] = ()
    round: int = 0
    replaced: int = 0
    finished: int = 0


class Loading(msgspec.Struct, frozen=True):
    """The snapshot of `scope` on its way into the store: `blocks` of its blocks are here, and records that stand
    apart of it if `fetched`.

    `types` are the record types that the program knew when it began, which is how the blocks have them.
    """

    scope: str
    snapshot: Snapshot
    types: dict[str, int]
    blocks: int = 0
    fetched: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether all of it is here."""
        return self.blocks == len(self.snapshot.blocks) and not self.snapshot.apart

    @property
    def left(self) -> int:
        """How many records are in the blocks that are not here yet."""
        return sum(block.records for block in self.snapshot.blocks[self.blocks :])

    @property
    def offset(self) -> int:
        """Where in the content the next block begins."""
        return sum(block.bytes for block in self.snapshot.blocks[: self.blocks])


class Unindexed(msgspec.Struct, frozen=True):
    """Rows of records whose texts are not in the index yet: those past `after`, up to `last`."""

    after: int
    last: int


class Meta:
    """Typed access to the table `meta`, inside a transaction of the caller.

    `last_receipt` follows `receipt`, and `last_unindexed` (a row, 0 for none) `unindexed`, from their first reading
    on; they may be looked at from anywhere.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.last_receipt: Receipt | None = None
        self.last_unindexed = 0

    @property
    def identity(self) -> Identity | None:
        """The device's identity. ValueError or msgspec.DecodeError when it is damaged."""
        row = self._db.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()
        return msgspec.msgpack.decode(unframe(IDENTITY, row[0]), type=Identity) if row else None

    @identity.setter
    def identity(self, identity: Identity) -> None:
        self._write("identity", frame(IDENTITY, _encode(identity)))

    @property
    def account(self) -> Account | None:
        """The user of this store, None before the first sign-in."""
        return self._read("account", Account)

    @account.setter
    def account(self, account: Account) -> None:
        self._write("account", _encode(account))

    @property
    def anchor(self) -> Anchor | None:
        """The last contact with the server."""
        return self._read("anchor", Anchor)

    @anchor.setter
    def anchor(self, anchor: Anchor | None) -> None:
        if anchor is not None:
            self._write("anchor", _encode(anchor))

    @property
    def stamp(self) -> int:
        """The largest stamp given or seen."""
        return self._read("stamp", int) or 0

    @stamp.setter
    def stamp(self, stamp: int) -> None:
        self._write("stamp", _encode(stamp))

    @property
    def progressed(self) -> Progressed:
        """How far the server is read."""
        return self._read("progressed", Progressed) or Progressed()

    @progressed.setter
    def progressed(self, progressed: Progressed) -> None:
        self._write("progressed", _encode(progressed))

    @property
    def loading(self) -> Loading | None:
        """The snapshot that is being loaded, also when it is complete but the server was not told so yet."""
        return self._read("loading", Loading)

    @loading.setter
    def loading(self, loading: Loading | None) -> None:
        if loading is None:
            self._db.execute("DELETE FROM meta WHERE key = 'loading'")
        else:
            self._write("loading", _encode(loading))

    @property
    def unindexed(self) -> Unindexed | None:
        """The rows whose texts cannot be found yet, None where there are none."""
        rows = self._read("unindexed", Unindexed)
        self.last_unindexed = rows.last if rows else 0
        return rows

    @unindexed.setter
    def unindexed(self, rows: Unindexed | None) -> None:
        # Not 0 before that is read from the disk: the transaction may fail yet.
        if rows is None:
            self._db.execute("DELETE FROM meta WHERE key = 'unindexed'")
        else:
            self.last_unindexed = rows.last
            self._write("unindexed", _encode(rows))

    @property
    def receipt(self) -> KeptReceipt | None:
        """The last receipt for own changes that still holds. Raises as `identity`."""
        row = self._db.execute("SELECT value FROM meta WHERE key = 'receipt'").fetchone()
        kept = msgspec.msgpack.decode(unframe(RECEIPT, row[0]), type=KeptReceipt) if row else None
        self.last_receipt = kept.receipt if kept else None
        return kept

    @receipt.setter
    def receipt(self, kept: KeptReceipt | None) -> None:
        self.last_receipt = kept.receipt if kept else None
        if kept is None:
            self._db.execute("DELETE FROM meta WHERE key = 'receipt'")
        else:
            self._write("receipt", frame(RECEIPT, _encode(kept)))

    @property
    def verified_ms(self) -> int | None:
        """When the copies were last known to be the server's, by the trusted clock."""
        return self._read("verified", int)

    @verified_ms.setter
    def verified_ms(self, time_ms: int) -> None:
        self._write("verified", _encode(time_ms))

    @property
    def types(self) -> dict[str, int]:
        """The record types, with the versions in which the records here are."""
        return self._read("types", dict[str, int]) or {}

    @types.setter
    def types(self, versions: dict[str, int]) -> None:
        self._write("types", _encode(versions))

    @property
    def media_rules(self) -> MediaRules:
        """What the user wants of photos and videos; as if never asked for, where that cannot be read."""
        try:
            return self._read("media_rules", MediaRules) or MediaRules()
        except msgspec.DecodeError:
            return MediaRules()

    @media_rules.setter
    def media_rules(self, rules: MediaRules) -> None:
        self._write("media_rules", _encode(rules))

    @property
    def last_seq(self) -> int:
        """The number that was given to a change last; 0 where none was noted."""
        return self._read("last_seq", int) or 0

    def _read(self, key: str, kind: type[T]) -> T | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return msgspec.msgpack.decode(row[0], type=kind) if row else None

    def _write(self, key: str, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
