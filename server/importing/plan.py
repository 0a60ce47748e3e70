"""A mapping bound to a record type and a file: what to do with each row."""

import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from field_schemas.record import RecordType
from server.importing.converting import as_text, is_empty
from server.importing.problems import RowProblem
from server.importing.reading import Row

Take = Callable[[Row], Any]
RECORD_ID = "id"
"""The column that may hold record ids, as our own exports write them."""
RECORD_VERSION = "version"

_ID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:gridwalk:import")


def record_id(record_type: str, source: str, key: str) -> uuid.UUID:
    """The one id of what `source` calls `key`, so that importing again finds the record again."""
    return uuid.uuid5(_ID_NAMESPACE, msgspec.json.encode([record_type, source, key]).decode())


class Item(msgspec.Struct, gc=False):
    """A row as a record to be: its fields as plain values (None: the row says nothing).

    `base` is the version of the record the row was exported from, where the file says so.
    """

    number: int
    key: str
    id: uuid.UUID
    fields: dict[str, Any]
    base: int | None = None


class Plan(msgspec.Struct, frozen=True):
    """What a file's rows become.

    `takes` gives each field's value; `key_field` or else `key_column` holds what the source calls the thing.
    `unmapped` are the columns nothing is taken from.
    """

    spec: RecordType[Any]
    source: str
    takes: tuple[tuple[str, Take], ...]
    key_field: str | None
    key_column: str | None
    unmapped: tuple[str, ...]
    with_versions: bool = False

    def item(self, row: Row) -> Item:
        """The record a row describes. Raises RowProblem."""
        fields = {name: take(row) for name, take in self.takes}
        key = self.key(row, fields)
        if not key:
            named = self.key_field or self.key_column or ""
            raise RowProblem(named, "field_missing", "没有主键", "the key is empty")
        base = row.values.get(RECORD_VERSION) if self.with_versions else None
        return Item(row.number, key, self._record_id(key), fields, _version(base))

    def key(self, row: Row, fields: dict[str, Any]) -> str:
        """What the source calls the row's thing, "" where it does not say."""
        value = fields.get(self.key_field) if self.key_field else row.values.get(self.key_column or "")
        return "" if is_empty(value) else as_text(value)

    def _record_id(self, key: str) -> uuid.UUID:
        if self.key_column == RECORD_ID:
            try:
                return uuid.UUID(key)
            except ValueError:
                pass
        return record_id(self.spec.name, self.source, key)


def _version(value: Any) -> int | None:
    text = "" if is_empty(value) else as_text(value)
    return int(text) if text.isdecimal() else None
