"""Every state that records ever had on the server: what a phone may rightly show, or rightly have lost."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from client_sdk.simulation.programs import as_newest
from client_sdk.simulation.sight import seen_by
from field_schemas.access import Grant
from field_schemas.registry import Registry
from sync.memory import State
from sync.storage import StoredRecord

_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


class _Since(NamedTuple):
    """A state of a record from a moment on; None where a restore took the record away."""

    ms: int
    record: StoredRecord | None


class Past:
    """`grants` are everybody's, those that have ended included."""

    def __init__(self, registry: Registry, grants: Mapping[str, tuple[Grant, ...]]) -> None:
        self._registry = registry
        self._grants = grants
        self._states: dict[uuid.UUID, list[_Since]] = {}

    def note(self, records: Iterable[StoredRecord], now_ms: int) -> None:
        """These are the records' states from now on."""
        for record in records:
            self._states.setdefault(record.id, []).append(_Since(now_ms, record))

    def rewind(self, before: State, after: State, now_ms: int) -> None:
        """The contents go back from `before` to `after`."""
        for key, record in before.records.items():
            if after.records.get(key) is not record:
                self._states[key].append(_Since(now_ms, after.records.get(key)))

    def may_have_left(self, user: str, record: uuid.UUID, copy: int | None, since_ms: int, now_ms: int) -> bool:
        """Whether at any moment from `since_ms` on the record was deleted, or not for `user` to read: as it was then,
        or as it had been since the version of the `copy` by which a phone judges."""
        states = self._states.get(record, [])
        earlier = [one for one in states if one.ms <= since_ms]
        known = [one for one in earlier[:-1] if copy and one.record and one.record.version >= copy]
        grants = self._grants.get(user, ())
        bounds = {edge for grant in grants for edge in (grant.valid_from, grant.valid_until) if edge is not None}
        moments = {since_ms, now_ms, *(edge for edge in bounds if since_ms < edge < now_ms)}
        for _, state in [*known, *earlier[-1:], *(one for one in states if one.ms > since_ms)]:
            if state is None or state.deleted:
                return True
            if any(seen_by(self._registry, user, grants, ms, state) is None for ms in moments):
                return True
        return not states

    def fields_since(self, record: uuid.UUID, version: int) -> list[dict[str, Any]]:
        """The record's fields at `version` and later, as the newest program has them."""
        states = [one.record for one in self._states.get(record, ())]
        return [
            as_newest(one.type, _decode(one.fields), one.type_version)
            for one in states
            if one is not None and one.version >= version
        ]
