"""A record type of the demo's server, at its second version: trees, whose height became millimetres."""

from typing import Annotated, Any

from field_schemas.access import FIELD_WORKERS, Access
from field_schemas.record import Field, Record, record_type
from field_schemas.scopes import in_grid
from field_schemas.types.values import GridPrefix, ShortText
from field_schemas.versions import VersionStep

TREE_ACCESS = Access(read=FIELD_WORKERS, create=FIELD_WORKERS, write=FIELD_WORKERS)


def _to_millimetres(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value * 10 if name == "height_mm" else value for name, value in fields.items()}


def _to_centimetres(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value // 10 if name == "height_mm" else value for name, value in fields.items()}


@record_type(
    "tree",
    zh="树木",
    en="Tree",
    scopes=(in_grid("grid"),),
    access=TREE_ACCESS,
    version=2,
    steps={2: VersionStep(_to_millimetres, _to_centimetres, {"height_cm": "height_mm"})},
    title="name",
)
class Tree(Record):
    """A tree as today's app and the server know it."""

    grid: Annotated[GridPrefix, Field("网格", "Grid")]
    name: Annotated[ShortText, Field("名称", "Name")]
    height_mm: Annotated[int, Field("高度(毫米)", "Height (mm)")] = 0
    species: Annotated[ShortText | None, Field("树种", "Species")] = None
