"""A record type of the demo's server, at its second version: trees, whose height became millimetres."""

from typing import Annotated, Any

from field_schemas.access import FIELD_WORKERS, Access
from field_schemas.record import Field, Record, VersionStep, record_type
from field_schemas.scopes import in_grid
from field_schemas.types.values import GridPrefix, ShortText

TREE_ACCESS = Access(read=FIELD_WORKERS, create=FIELD_WORKERS, write=FIELD_WORKERS)


def _to_millimetres(fields: dict[str, Any]) -> dict[str, Any]:
    if "height_cm" not in fields:
        return fields
    rest = {name: value for name, value in fields.items() if name != "height_cm"}
    return rest | {"height_mm": fields["height_cm"] * 10}


def _to_centimetres(fields: dict[str, Any]) -> dict[str, Any]:
    if "height_mm" not in fields:
        return fields
    rest = {name: value for name, value in fields.items() if name != "height_mm"}
    return rest | {"height_cm": fields["height_mm"] // 10}


@record_type(
    "tree",
    zh="树木",
    en="Tree",
    scopes=(in_grid("grid"),),
    access=TREE_ACCESS,
    version=2,
    steps={2: VersionStep(_to_millimetres, _to_centimetres)},
    title="name",
)
class Tree(Record):
    """A tree as today's app and the server know it."""

    grid: Annotated[GridPrefix, Field("网格", "Grid")]
    name: Annotated[ShortText, Field("名称", "Name")]
    height_mm: Annotated[int, Field("高度(毫米)", "Height (mm)")] = 0
    species: Annotated[ShortText | None, Field("树种", "Species")] = None
