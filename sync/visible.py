"""What a reader may see of a record: pull, history and repair ask here, so that nothing is shown by another door."""

from collections.abc import Mapping
from typing import Any

import msgspec

from field_schemas.access import Grant, grants_at, roles_in, with_implied
from field_schemas.record import RecordType
from field_schemas.registry import Registry
from sync.authority import Actor
from sync.delta import delta
from sync.errors import SyncError
from sync.forms import behind, record_now
from sync.messages import WireRecord
from sync.storage import StoredRecord

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Lens(msgspec.Struct, frozen=True):
    """How a reader sees the records of one type that lie in the same scopes.

    `readable` are the fields shown, None all of them; `older` is the type's version the reader's program knows, None
    where that has the present form.
    """

    spec: RecordType[Any]
    readable: frozenset[str] | None
    older: int | None

    def masked(self, fields: bytes) -> bytes:
        """The MessagePack object `fields` without what the reader may not read.

        Fields that this program does not know are for everybody: `RecordType.form` sees to that.
        """
        readable, limited = self.readable, self.spec.limited_fields
        if readable is None:
            return fields
        shown = {name: value for name, value in _decode(fields).items() if name in readable or name not in limited}
        return _encode(shown)

    def shown(self, fields: bytes) -> bytes:
        """`fields` masked, and as the reader's program knows them."""
        if self.readable is not None:
            fields = self.masked(fields)
        return fields if self.older is None else _encode(self.spec.downgraded(_decode(fields), self.older))

    def shows(self, record: StoredRecord, held: int = 0) -> WireRecord:
        """The record as the reader sees it. Raises SyncError `server_behind`.

        A delta may do where the reader is likely to have what was written up to version `held`.
        """
        if record.deleted:
            return WireRecord(record.id, record.type, record.version, owner=record.owner, deleted=True)
        if record.type_version != self.spec.form:
            record = record_now(self.spec, record)
        if held and self.older is None and (changed := delta(self.spec, record, held)) is not None:
            return changed
        fields = record.fields if self.readable is None and self.older is None else self.shown(record.fields)
        return WireRecord(record.id, record.type, record.version, msgspec.Raw(fields), record.owner)


def grants_held(reader: Actor, now_ms: int) -> tuple[Grant, ...]:
    """What `reader` may see at `now_ms`, implied grants included."""
    return with_implied(grants_at(reader.grants, now_ms), reader.user)


class Sight:
    """What one reader may see at one moment.

    `types` are the record types the reader's program knows, with the version it knows; None means all as they are.
    """

    def __init__(
        self, registry: Registry, reader: Actor, now_ms: int, types: Mapping[str, int] | None = None
    ) -> None:
        self.grants = grants_held(reader, now_ms)
        self._registry = registry
        self._types = types
        self._lenses: dict[tuple[str, tuple[str, ...]], Lens | None] = {}

    def lens(self, name: str, scopes: tuple[str, ...]) -> Lens | None:
        """How the reader sees records of type `name` that lie in `scopes`; None where that is not at all.

        Raises SyncError `server_behind` where the reader's program knows the type in a newer form, or knows it while
        this one does not.
        """
        key = name, scopes
        try:
            return self._lenses[key]
        except KeyError:
            lens = self._lenses[key] = self._lens(name, scopes)
            return lens

    def _lens(self, name: str, scopes: tuple[str, ...]) -> Lens | None:
        if self._types is not None and name not in self._types:
            return None
        if name not in self._registry:
            if self._types is None:
                return None
            # Left out it would never come: the reader's cursor would have passed it when the server is updated.
            raise SyncError("server_behind", f"{name} is not known to this server")
        spec = self._registry.get(name)
        roles = roles_in(self.grants, scopes)
        if not roles & spec.access.read:
            return None
        known = spec.version if self._types is None else self._types[name]
        if known > spec.version:
            raise behind(spec, known)
        return Lens(spec, spec.readable_fields(roles), known if known < spec.form else None)

    def show(self, record: StoredRecord) -> WireRecord | None:
        """The record as the reader may see it; None where that is not at all. Raises SyncError `server_behind`."""
        lens = self.lens(record.type, record.scopes)
        return None if lens is None else lens.shows(record)
