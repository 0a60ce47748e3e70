"""Conflicts and refusals in the user's words. Pure."""

from collections.abc import Mapping
from typing import Any

from client_sdk.reports import Attention, Difference
from field_schemas.codes import CODES
from field_schemas.labels import Label
from field_schemas.record import RecordType
from field_schemas.registry import Registry
from field_schemas.types.attention import Conflict, Refusal

_CONFLICT = Label("他人同时修改了同一内容", "Somebody changed the same thing at the same time")
_CONFLICT_ADVICE = Label("请主管选定一个值", "A supervisor chooses the value that holds")


def of_conflict(registry: Registry, conflict: Conflict, about: Mapping[str, Any] | None, language: str) -> Attention:
    """An open conflict; `about` are the fields of the record it is about, None where that is not on the device."""
    spec = _spec(registry, conflict.record_type)
    return Attention(
        kind="conflict",
        id=conflict.id,
        record=conflict.record,
        type=conflict.record_type,
        title=_title(spec, conflict.record_type, about, language),
        reason=_CONFLICT.text(language),
        detail="",
        advice=_CONFLICT_ADVICE.text(language),
        offered_by=conflict.offered_by,
        assignee=conflict.assignee,
        differences=tuple(
            Difference(
                row.field, _label(spec, row.field, language), row.base, row.standing, row.offered, row.standing_by
            )
            for row in conflict.differences
        ),
    )


def of_refusal(registry: Registry, refusal: Refusal, about: Mapping[str, Any] | None, language: str) -> Attention:
    """An open refusal; `about` as for conflicts."""
    spec = _spec(registry, refusal.record_type)
    code = CODES.get(refusal.code)
    standing = about or {}
    return Attention(
        kind="refusal",
        id=refusal.id,
        record=refusal.record,
        type=refusal.record_type,
        title=_title(spec, refusal.record_type, about or refusal.refused, language),
        reason=code.title.text(language) if code else refusal.code,
        detail=refusal.detail,
        advice=code.advice.text(language) if code else "",
        offered_by=refusal.author,
        assignee=refusal.assignee,
        differences=tuple(
            Difference(name, _label(spec, name, language), None, standing.get(name), value)
            for name, value in refusal.refused.items()
        ),
    )


def _spec(registry: Registry, name: str) -> RecordType[Any] | None:
    return registry.get(name) if name in registry else None


def _title(spec: RecordType[Any] | None, name: str, fields: Mapping[str, Any] | None, language: str) -> str:
    if spec is None:
        return name
    title = fields.get(spec.title) if fields and spec.title else None
    label = spec.label.text(language)
    return f"{label}: {title}" if title else label


def _label(spec: RecordType[Any] | None, field: str, language: str) -> str:
    return spec.fields[field].label.text(language) if spec and field in spec.fields else field
