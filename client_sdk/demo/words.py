"""What scenes show of records: fields and types by their labels, histories, and what waits for a person."""

from collections.abc import Iterable

from client_sdk import Device
from client_sdk.demo import show
from client_sdk.demo.city import NAMES
from client_sdk.demo.show import Words
from client_sdk.histories import FieldChange, HistoryItem
from field_schemas.policies import Policy
from field_schemas.record import Record, type_of
from field_schemas.registry import load_types

LABELS = {spec.name: spec.label for spec in load_types()}
"""The names of the standard record types."""


def field_words(cls: type[Record], field: str) -> Words:
    """A field by its label."""
    label = type_of(cls).fields[field].label
    return label.zh, label.en


def show_history(cls: type[Record], items: Iterable[HistoryItem], title: Words) -> None:
    """The changes of a record, a line a field that changed. A counter shows what it became, and by how much."""
    rows = [
        (
            NAMES[item.user],
            item.outcome,
            (field.label.zh, field.label.en),
            _value(field.before),
            _after(cls, field),
        )
        for item in items
        for field in item.fields
        if field.changed
    ]
    columns = (("谁", "who"), ("结论", "verdict"), ("字段", "field"), ("原值", "before"), ("新值", "after"))
    show.table(columns, rows, title)


async def show_attention(device: Device) -> None:
    """What waits for the user of a device: what happened, and what to do."""
    zh, en = await device.needs_attention("zh"), await device.needs_attention("en")
    rows = [((a.title, b.title), (a.reason, b.reason), (a.advice, b.advice)) for a, b in zip(zh, en, strict=True)]
    name = NAMES[device.user or ""]
    columns = (("事项", "what"), ("原因", "why"), ("怎么办", "what to do"))
    show.table(columns, rows, (f"{name[0]}的手机上", f"On {name[1]}'s phone"))


def _after(cls: type[Record], change: FieldChange) -> str:
    if type_of(cls).fields[change.field].policy is Policy.COUNTER:
        return f"{(change.before or 0) + change.operand} ({change.operand:+d})"
    return _value(change.operand)


def _value(value: object) -> str:
    return "–" if value is None else str(value)
