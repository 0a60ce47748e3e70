"""A record type that has changed twice: `name` became `text`, then centimetres became millimetres."""

from typing import Annotated, Any

from field_schemas.access import FIELD_WORKERS, Access
from field_schemas.record import Field, Record, VersionStep, record_type
from field_schemas.scopes import in_grid
from field_schemas.types.values import GridPrefix, ShortText


def renamed(old: str, new: str, factor: int | None = None) -> VersionStep:
    """A step in which the field `old` is called `new`, and counts `factor` times as many units."""

    def move(fields: dict[str, Any], source: str, target: str, times: float) -> dict[str, Any]:
        if source not in fields:
            return fields
        value = fields[source]
        moved = value if factor is None or value is None else int(value * times)
        return {name: item for name, item in fields.items() if name != source} | {target: moved}

    return VersionStep(
        upgrade=lambda fields: move(fields, old, new, factor or 1),
        downgrade=lambda fields: move(fields, new, old, 1 / (factor or 1)),
    )


@record_type(
    "street_sign",
    zh="路牌",
    en="Street sign",
    scopes=(in_grid("grid"),),
    access=Access(read=FIELD_WORKERS, create=FIELD_WORKERS, write=FIELD_WORKERS),
    version=3,
    steps={2: renamed("name", "text"), 3: renamed("height_cm", "height_mm", 10)},
    title="text",
)
class StreetSign(Record):
    """A street sign, at version 3."""

    grid: Annotated[GridPrefix, Field("网格", "Grid")]
    text: Annotated[ShortText, Field("文字", "Text")]
    height_mm: Annotated[int | None, Field("高度", "Height")] = None
    colour: Annotated[ShortText | None, Field("颜色", "Colour")] = None
