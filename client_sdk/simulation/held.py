"""Whose work stands in a record, as the oracle reckons it: forward, from what each change really left."""

from collections.abc import Mapping
from typing import Any

from field_schemas.policies import Policy
from field_schemas.record import RecordType

HOLDS_A_VALUE = {Policy.LAST_WRITER, Policy.REVIEW, Policy.WORKFLOW}
TAKEN_BACK = HOLDS_A_VALUE | {Policy.SET}

Place = tuple[str, str | None]
"""A field that holds a value, or a field and one element of its set."""


def wanted(spec: RecordType[Any], patch: Mapping[str, Any]) -> dict[Place, Any]:
    """What a patch wants each place to hold: a value, or whether the element is there."""
    wishes: dict[Place, Any] = {}
    for name, operand in patch.items():
        policy = spec.fields[name].policy
        if policy in HOLDS_A_VALUE:
            wishes[name, None] = operand
        elif policy is Policy.SET and operand is not None:
            wishes.update(((name, one), False) for one in operand.get("remove", ()))
            wishes.update(((name, one), True) for one in operand.get("add", ()))
    return wishes


def shown(spec: RecordType[Any], fields: Mapping[str, Any], place: Place) -> Any:
    """What a place of a record holds."""
    name, element = place
    value = fields.get(name, spec.defaults.get(name))
    return value if element is None else element in (value or ())


class Held:
    """Whose work each place of one record holds: the version of the change, after and before each change."""

    def __init__(self) -> None:
        self._now: dict[Place, int] = {}
        self._before: dict[int, dict[Place, int]] = {}
        self._after: dict[int, dict[Place, int]] = {}

    def is_as_left_by(self, version: int, place: Place) -> bool:
        """Whether a place holds the work it held after `version`."""
        return self._now.get(place) == self._after.get(version, {}).get(place)

    def take(
        self,
        spec: RecordType[Any],
        version: int,
        undone: int | None,
        patch: Mapping[str, Any],
        was: Mapping[str, Any],
        fields: Mapping[str, Any],
    ) -> None:
        """Note a change that made `fields` of what `was`, and took `undone` back."""
        self._before[version] = dict(self._now)
        for place, wish in wanted(spec, patch).items():
            stands = shown(spec, fields, place)
            if undone is None and stands == wish:
                self._now[place] = version
            elif undone is not None and stands != shown(spec, was, place):
                self._now[place] = self._before.get(undone, {}).get(place, 0)
        self._after[version] = dict(self._now)
