"""The parts of media, joined from the settings."""

import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from field_schemas.registry import Registry
from media.blobs import Blobs, open_blobs
from media.links import Links
from media.receiving import Receiver
from media.spool import Spool
from server.keys import derived_secret
from server.media.library import Library
from server.media.references import References
from server.media.shelf import Shelf
from server.media.upkeep import Upkeep
from server.media.uploads import UploadRules, Uploads
from server.settings import Settings
from server.storage.database import Database
from sync.clock import DAY_MS, Milliseconds

_HOUR_MS = 3_600_000


class Media:
    """What the server does with photos and videos. Raises StoreUnusable."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        registry: Registry,
        key: Ed25519PrivateKey,
        now_ms: Milliseconds,
    ) -> None:
        folder = Path(settings.data_dir)
        rules = UploadRules(
            settings.media_max_bytes, settings.media_daily_bytes, settings.media_upload_hours * _HOUR_MS
        )
        self.links = Links(derived_secret(key, "media addresses"))
        self.shelf = Shelf(database, open_store(settings), now_ms)
        self.library = Library(database, registry, self.shelf, now_ms)
        self.receiver = Receiver(Spool(folder / "uploads", settings.media_free_bytes), settings.media_digest)
        self.references = References(database, registry, now_ms)
        self.uploads = Uploads(database, self.receiver, self.library, self.shelf, rules, now_ms, secrets.token_bytes)
        self.upkeep = Upkeep(
            database, self.uploads, self.shelf, self.references, settings.media_grace_days * DAY_MS, now_ms
        )

    def close(self) -> None:
        """Wait for what its threads still do."""
        self.receiver.close()
        self.shelf.bytes_of.close()


def open_store(settings: Settings) -> Blobs:
    """Where the settings have media kept. Raises StoreUnusable."""
    return open_blobs(settings.media_store, Path(settings.data_dir) / "blobs")
