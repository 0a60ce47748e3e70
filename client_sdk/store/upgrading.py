"""After an update of the program: what the store holds, in the form that the newer record types have."""

from typing import Any

import msgspec

from client_sdk.store.thread import Tables
from field_schemas.record import RecordType

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


def upgrade(tables: Tables) -> None:
    """Upgrade the records of types that the program knew at an older version when the store was opened last.

    Own changes stay as they were made: each says its version, and the server upgrades it.
    """
    known = tables.meta.types
    for spec in tables.registry:
        version = known.get(spec.name, spec.version)
        if version < spec.version:
            _upgrade_type(tables, spec, version)
    tables.meta.types = known | {spec.name: spec.version for spec in tables.registry}


def _upgrade_type(tables: Tables, spec: RecordType[Any], version: int) -> None:
    def upgraded(fields: bytes) -> bytes:
        return _encode(spec.upgraded(_decode(fields), version))

    rows = tables.records.of_type(spec.name)
    tables.records.put_many(
        [
            row._replace(fields=upgraded(row.fields), server=None if row.server is None else upgraded(row.server))
            for row in rows
        ]
    )
