"""What kind of place a record type has."""

from typing import Any

from msgspec import inspect

from field_schemas.places import Area, Position
from field_schemas.record import RecordType


def bare_type(kind: inspect.Type) -> inspect.Type:
    """The type without `| None` and annotations."""
    if isinstance(kind, inspect.Metadata):
        return bare_type(kind.type)
    if isinstance(kind, inspect.UnionType):
        inner = [part for part in kind.types if not isinstance(part, inspect.NoneType)]
        return bare_type(inner[0]) if len(inner) == 1 else inspect.AnyType()
    return kind


def field_types(spec: RecordType[Any]) -> dict[str, inspect.Type]:
    """The declared type of each field."""
    info = inspect.type_info(spec.cls)
    fields = info.fields if isinstance(info, inspect.StructType) else ()
    return {field.name: field.type for field in fields if field.name in spec.fields}


def struct_of(kind: inspect.Type) -> type | None:
    """The struct that a field of this type holds, None for anything else."""
    bare = bare_type(kind)
    return bare.cls if isinstance(bare, inspect.StructType) else None


def place_class(spec: RecordType[Any]) -> type[Position] | type[Area] | None:
    """Position or Area, None for a type without a place."""
    held = struct_of(field_types(spec)[spec.place]) if spec.place else None
    return Area if held is Area else Position if held is Position else None
