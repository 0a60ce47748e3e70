"""Local writes: from typed records and plain values to what the store carries out."""

import uuid
from typing import Any, TypeVar

import msgspec

from client_sdk.errors import Invalid
from client_sdk.store.writing import Kind, LocalWrite
from field_schemas.record import NO_ID, FieldError, Record, type_of
from sync.clock import Milliseconds
from sync.ids import RandomBytes, uuid7

R = TypeVar("R", bound=Record)


class Batch:
    """Collects writes that are stored together, in one transaction, or not at all."""

    def __init__(self, now_ms: Milliseconds, random_bytes: RandomBytes) -> None:
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self.writes: list[LocalWrite] = []

    def create(self, record: R) -> R:
        """Create `record`; returns it with its id. Raises Invalid."""
        created = msgspec.structs.replace(record)
        if record.id == NO_ID:
            created.id = self._new_id()
        try:
            patch = type_of(type(record)).patch_of(record)
        except FieldError as error:
            raise Invalid(error.code, error.detail) from error
        self._add(Kind.CREATE, created, patch)
        return created

    def update(self, record: Record, /, **fields: Any) -> None:
        """Set `fields` of `record`: values; differences of counters, entries to append, `SetOperand` for sets.

        Raises Invalid.
        """
        self._add(Kind.UPDATE, record, patch_of(record, fields))

    def delete(self, record: Record) -> None:
        """Delete `record`."""
        self._add(Kind.DELETE, record, b"\x80")

    def _add(self, kind: Kind, record: Record, patch: bytes) -> None:
        spec = type_of(type(record))
        self.writes.append(LocalWrite(kind, self._new_id(), spec, record.id, patch, record.version))

    def _new_id(self) -> uuid.UUID:
        return uuid7(self._now_ms(), self._random_bytes)


def patch_of(record: Record, fields: dict[str, Any]) -> bytes:
    """The patch that sets `fields` of a record like `record`. Raises Invalid."""
    try:
        return type_of(type(record)).patch(fields)
    except FieldError as error:
        raise Invalid(error.code, error.detail) from error
