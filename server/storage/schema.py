"""All tables of the server, gathered in `metadata`: every module that declares tables is imported here."""

from server.accounts import tables as accounts
from server.media import tables as media
from server.media_checks import tables as media_checks
from server.storage import tables as synced
from server.storage.metadata import metadata

__all__ = ["accounts", "media", "media_checks", "metadata", "synced"]
