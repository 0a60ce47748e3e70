"""Which records belong to one matter: the same picture in them is no reuse.

Records name each other by their task, by what they are about, by the finding a case came from; the order in which
they were made does not count. Those in one case belong together too.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

import msgspec

from field_schemas.policies import Policy
from field_schemas.registry import Registry
from server.media.references import LINKS
from sync.storage import ReadTransaction, StoredRecord

_STEPS = 3
"""How far links are followed: a note about a finding of a task of a matter."""
_CASE = "case:"


async def related(
    tx: ReadTransaction, registry: Registry, record: StoredRecord, others: Iterable[StoredRecord]
) -> frozenset[UUID]:
    """Those of the others that belong to one matter with `record`."""
    others = list(others)
    known = {one.id: one for one in (record, *others)}
    for _ in range(_STEPS):
        named = {link for one in known.values() for link in _links(one)}
        if not named - known.keys():
            break
        known |= await tx.records(named - known.keys())
    own = _matter(registry, record, known)
    return frozenset(
        other.id
        for other in others
        if own & _matter(registry, other, known) or other.id in _links(record) or record.id in _links(other)
    )


def fields_of(record: StoredRecord) -> dict[str, Any]:
    """The decoded fields of a record."""
    return msgspec.msgpack.decode(record.fields, type=dict[str, Any])


def _matter(registry: Registry, record: StoredRecord, known: Mapping[UUID, StoredRecord]) -> set[UUID | str]:
    """What ties a record to others: itself, the records it names step by step, and its cases."""
    found: dict[UUID, StoredRecord] = {record.id: record}
    last = [record]
    for _ in range(_STEPS):
        linked = {link for one in last for link in _links(one)} - found.keys()
        last = [known[link] for link in linked if link in known and _is_matter(registry, known[link])]
        found |= {one.id: one for one in last}
    return {*found, *(scope for one in found.values() for scope in one.scopes if scope.startswith(_CASE))}


def _is_matter(registry: Registry, record: StoredRecord) -> bool:
    """Whether something happens in it. A manhole cover has many matters in its life, and is none."""
    fields = registry.get(record.type).fields
    return any(name in fields for name in LINKS) or any(one.policy is Policy.WORKFLOW for one in fields.values())


def _links(record: StoredRecord) -> set[UUID]:
    fields = fields_of(record)
    return set(_ids(fields.get(name) for name in LINKS))


def _ids(values: Iterable[Any]) -> Iterator[UUID]:
    """Those of the values that are the id of a record."""
    for value in values:
        if isinstance(value, str):
            try:
                yield UUID(value)
            except ValueError:
                continue
