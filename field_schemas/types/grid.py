"""Unit grid 单元网格: the cell everything in the field is counted by (GB/T 30428 practice)."""

from typing import Annotated

from field_schemas.access import FIELD_WORKERS, Access
from field_schemas.places import Area
from field_schemas.record import Field, Record, record_type
from field_schemas.scopes import in_grid
from field_schemas.types.values import GridCode, ShortText


@record_type(
    "unit_grid",
    zh="单元网格",
    en="Unit grid",
    scopes=(in_grid("code"),),
    access=Access(read=FIELD_WORKERS),
    place="boundary",
    title="name",
)
class UnitGrid(Record):
    """One grid cell; street and community are prefixes of its code, their names stand here."""

    code: Annotated[GridCode, Field("网格编码", "Grid code", searchable=True)]
    boundary: Annotated[Area, Field("边界", "Boundary")]
    name: Annotated[ShortText | None, Field("名称", "Name", searchable=True)] = None
    street: Annotated[ShortText | None, Field("街道", "Street office", searchable=True)] = None
    community: Annotated[ShortText | None, Field("社区", "Community", searchable=True)] = None
