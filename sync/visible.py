"""What a reader may see of a record: pull, history and repair ask here, so that nothing is shown by another door."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from field_schemas.access import Grant, Role, grants_at, roles_in, with_implied
from field_schemas.record import RecordType
from field_schemas.registry import Registry
from sync.authority import Actor
from sync.messages import WireRecord
from sync.storage import StoredRecord

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Sight:
    """What one reader may see at one moment.

    `types` are the record types the reader's program knows, with the version it knows; None means all as they are.
    """

    def __init__(
        self, registry: Registry, reader: Actor, now_ms: int, types: Mapping[str, int] | None = None
    ) -> None:
        self.grants: tuple[Grant, ...] = with_implied(grants_at(reader.grants, now_ms), reader.user)
        self._registry = registry
        self._types = types
        self._roles: dict[tuple[str, ...], frozenset[Role]] = {}

    def type_seen(self, name: str, scopes: tuple[str, ...]) -> RecordType[Any] | None:
        """The type `name` where the reader may read its records that lie in `scopes`."""
        if name not in self._registry or (self._types is not None and name not in self._types):
            return None
        spec = self._registry.get(name)
        return spec if self.roles_over(scopes) & spec.access.read else None

    def roles_over(self, scopes: tuple[str, ...]) -> frozenset[Role]:
        """The reader's roles over what lies in `scopes`."""
        roles = self._roles.get(scopes)
        if roles is None:
            roles = self._roles[scopes] = roles_in(self.grants, scopes)
        return roles

    def show(self, record: StoredRecord) -> WireRecord | None:
        """The record as the reader may see it; None where that is not at all."""
        spec = self.type_seen(record.type, record.scopes)
        if spec is None:
            return None
        if record.deleted:
            return WireRecord(record.id, record.type, record.version, owner=record.owner, deleted=True)
        fields = self.masked(spec, record.fields, self.roles_over(record.scopes))
        if self._types is not None and self._types[spec.name] < spec.version:
            fields = _encode(spec.downgraded(_decode(fields), self._types[spec.name]))
        return WireRecord(record.id, record.type, record.version, msgspec.Raw(fields), record.owner)

    @staticmethod
    def masked(spec: RecordType[Any], fields: bytes, roles: Iterable[Role]) -> bytes:
        """The MessagePack object `fields` without what `roles` may not read."""
        readable = spec.readable_fields(roles)
        if readable is None:
            return fields
        return _encode({name: value for name, value in _decode(fields).items() if name in readable})
