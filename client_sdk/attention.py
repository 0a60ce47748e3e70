"""Conflicts and refusals in the user's words. Pure."""

import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from client_sdk.reports import Attention, Difference
from field_schemas.codes import CODES
from field_schemas.labels import Label
from field_schemas.record import RecordType
from field_schemas.registry import Registry
from field_schemas.types.attention import Conflict, Refusal
from sync.forms import fields_now

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
                row.field,
                _label(spec, _name_now(spec, row.field, conflict.type_version), language),
                row.base,
                row.standing,
                row.offered,
                row.standing_by,
            )
            for row in conflict.differences
        ),
    )


def together(registry: Registry, refusals: Iterable[Refusal], here: Collection[uuid.UUID]) -> list[list[Refusal]]:
    """Refusals as they are dealt with: one by one, but that of a creation with those of the record's later changes,
    in the order they were made. `here` are the records there are."""
    ordered = sorted(refusals, key=lambda one: one.stamp)
    creations = {one.record: one for one in reversed(ordered) if one.record not in here and _creates(registry, one)}
    groups: dict[uuid.UUID, list[Refusal]] = {}
    for one in ordered:
        creation = creations.get(one.record)
        with_it = creation is not None and creation.author == one.author and creation.stamp <= one.stamp
        groups.setdefault(creation.id if creation and with_it else one.id, []).append(one)
    return list(groups.values())


def of_refusals(
    registry: Registry, refusals: list[Refusal], about: Mapping[str, Any] | None, language: str
) -> Attention:
    """Open refusals that are dealt with together; `about` as for conflicts."""
    first, *later = [_of_refusal(registry, one, about, language) for one in refusals]
    differences = [row for one in (first, *later) for row in one.differences]
    return msgspec.structs.replace(first, differences=tuple(differences), later=tuple(one.id for one in later))


def _creates(registry: Registry, refusal: Refusal) -> bool:
    spec = _spec(registry, refusal.record_type)
    return spec is not None and spec.required <= _said(spec, refusal).keys()


def _of_refusal(registry: Registry, refusal: Refusal, about: Mapping[str, Any] | None, language: str) -> Attention:
    spec = _spec(registry, refusal.record_type)
    code = CODES.get(refusal.code)
    standing = about or {}
    said = _said(spec, refusal)
    return Attention(
        kind="refusal",
        id=refusal.id,
        record=refusal.record,
        type=refusal.record_type,
        title=_title(spec, refusal.record_type, about or said, language),
        reason=code.title.text(language) if code else refusal.code,
        detail=refusal.detail,
        advice=code.advice.text(language) if code else "",
        offered_by=refusal.author,
        assignee=refusal.assignee,
        differences=tuple(
            Difference(name, _label(spec, name, language), None, standing.get(name), value)
            for name, value in said.items()
        ),
    )


def _name_now(spec: RecordType[Any] | None, field: str, version: int) -> str:
    return field if spec is None else next(iter(spec.renamed({field: None}, version)))


def _said(spec: RecordType[Any] | None, refusal: Refusal) -> dict[str, Any]:
    """What was refused, as this program knows the type."""
    return refusal.refused if spec is None else fields_now(spec, refusal.refused, refusal.type_version)


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
