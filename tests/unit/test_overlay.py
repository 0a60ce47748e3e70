"""Own changes on top of what the server gave, where the server has not given anything yet."""

import uuid
from typing import Any

import msgspec

from client_sdk.store.overlay import visible
from sync.messages import Change
from tests.unit.builders import REGISTRY, Office, component, inspector, new_id

SPEC = REGISTRY.get("component")


def shown(*changes: dict[str, Any], record: uuid.UUID | None = None) -> dict[str, Any] | None:
    """A component that others must have created, with own changes of these fields; None where there is none."""
    office, li, about = Office(), inspector("li"), record or new_id()
    made: list[Change] = [office.change(li, "component", about, fields) for fields in changes]
    found = visible(SPEC, li.device, None, made)
    return None if found is None else msgspec.msgpack.decode(found.fields)


def test_all_changes_are_shown_once_they_make_a_record() -> None:
    """Of a record whose creation came from elsewhere, nothing is left out that came before what completes it."""
    fields = shown({"name": "雨水井盖", "remark": "旧"}, component(remark="新"))
    assert fields is not None
    assert (fields["name"], fields["remark"], fields["kind"]) == ("雨水井盖", "新", "0102")


def test_together_they_make_a_record() -> None:
    """It does not take one change with all that is required."""
    whole = component()
    half = {name: whole.pop(name) for name in ("grid", "kind")}
    assert shown(half, whole) == component()


def test_half_a_record_is_not_shown() -> None:
    """Own changes of a record whose content never came show nothing."""
    assert shown({"name": "雨水井盖"}, {"remark": "新"}) is None
