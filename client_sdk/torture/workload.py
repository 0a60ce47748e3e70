"""What the devices of a torture write: creations, and updates of records that all of them share."""

import random
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from client_sdk.torture.history import DeviceHistory, Seen
from client_sdk.torture.wire import LoadDevice
from sync.messages import Change, Outcome, Verdict

SCOPE = "grid:440304"
"""The district that the devices' account supervises."""
_GRIDS = ("440304006001001", "440304006001002", "440304007003001")
_ELSEWHERE = "440305001001001"
_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
_SHARED = 24
"""Records that are updated by all; older ones are left in peace, so that what they gather stays small."""
_KEPT_TAGS = 5
_SIZES = ((0.6, 1, 3), (0.9, 4, 25), (1.0, 80, 250))
"""Sizes of a push: up to which of 100 draws, smallest, largest."""
Fields = dict[str, Any]


class World:
    """What the devices have in common: shared records, newest last, as (type, id), and a pool for their copies."""

    def __init__(self) -> None:
        self.pool: dict[Seen, Seen] = {}
        self.shared: deque[tuple[str, uuid.UUID]] = deque(maxlen=_SHARED)

    def learn(self, changes: list[Change], verdicts: list[Verdict]) -> None:
        """Share what was created."""
        for change, verdict in zip(changes, verdicts, strict=True):
            if change.type != "finding" and change.base == 0 and verdict.outcome is Outcome.APPLIED:
                known = (change.type, change.record)
                if known not in self.shared:
                    self.shared.append(known)


class Worker:
    """Makes the changes of one device."""

    def __init__(self, device: LoadDevice, history: DeviceHistory, world: World, rng: random.Random) -> None:
        self._device = device
        self._history = history
        self._world = world
        self._rng = rng
        self._tags: dict[uuid.UUID, list[str]] = {}

    def batch(self) -> list[Change]:
        """The next push."""
        draw = self._rng.random()
        low, high = next((low, high) for bound, low, high in _SIZES if draw <= bound)
        return [self._change() for _ in range(self._rng.randint(low, high))]

    def _change(self) -> Change:
        draw = self._rng.random()
        if draw < 0.03 or not self._world.shared:
            return self._create_shared()
        if draw < 0.08:
            return self._forbidden()
        if draw < 0.35:
            return self._update_shared()
        return self._device.change("finding", self._finding())

    def _create_shared(self) -> Change:
        kind = self._rng.choice(list(_SHARED_TYPES))
        return self._device.change(kind, _SHARED_TYPES[kind](self._rng.choice(_GRIDS), self._token()))

    def _update_shared(self) -> Change:
        kind, record = self._rng.choice(self._world.shared)
        known = self._history.copy.get(record)
        fields = self._inspection(record) if kind == "component" else self._answer()
        return self._device.change(kind, fields, record, known.version if known else 0)

    def _forbidden(self) -> Change:
        """A change the server must refuse."""
        wrong: tuple[Fields, ...] = (
            self._finding() | {"grid": _ELSEWHERE},
            self._finding() | {"colour": "red"},
            {"text": "half a finding"},
            self._finding() | {"state": "closed"},
        )
        return self._device.change("finding", self._rng.choice(wrong))

    def _finding(self) -> Fields:
        return {"grid": self._rng.choice(_GRIDS), "kind": "0102", "text": f"盖板破损 {self._token()}"}

    def _inspection(self, record: uuid.UUID) -> Fields:
        fields: Fields = {"inspections": self._rng.randint(-3, 9)}
        if self._rng.random() < 0.5:
            fields["tags"] = self._tag(record)
        if self._rng.random() < 0.3:
            fields["condition"] = self._rng.choice(("good", "worn", "damaged", "missing"))
        if self._rng.random() < 0.3:
            fields["last_inspected_at"] = (_NOON + timedelta(seconds=self._rng.randint(0, 10**6))).isoformat()
        return fields

    def _tag(self, record: uuid.UUID) -> Fields:
        """Add one; remove one of the device's own, which no other device touches."""
        own = self._tags.setdefault(record, [])
        own.append(self._token())
        operand: Fields = {"add": [own[-1]]}
        if len(own) > _KEPT_TAGS:
            operand["remove"] = [own.pop(0)]
        return operand

    def _answer(self) -> Fields:
        minute = _NOON + timedelta(minutes=self._device.seq)
        return {"answers": [{"item": self._token(), "result": "ok", "answered_at": minute.isoformat()}]}

    def _token(self) -> str:
        """A word that no other change uses."""
        return f"{self._device.id.hex[-6:]}-{self._device.seq}"


def _component(grid: str, token: str) -> Fields:
    place = {"lon": 114.04, "lat": 22.55}
    return {"code": token, "kind": "0102", "grid": grid, "place": place, "inspections": 1, "condition": "good"}


def _task(grid: str, token: str) -> Fields:
    return {"subject": f"巡查 {token}", "grid": grid}


_SHARED_TYPES: Mapping[str, Callable[[str, str], Fields]] = {"component": _component, "patrol_task": _task}
