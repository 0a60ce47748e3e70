"""A record type that has changed twice: `name` became `text`, then centimetres became millimetres."""

from typing import Annotated, Any

from field_schemas.access import FIELD_WORKERS, Access
from field_schemas.record import Field, Record, record_type
from field_schemas.scopes import in_grid
from field_schemas.types.values import GridPrefix, ShortText
from field_schemas.versions import VersionStep


def renamed(old: str, new: str, factor: int | None = None) -> VersionStep:
    """A step in which the field `old` is called `new`, and counts `factor` times as many units."""

    def scaled(fields: dict[str, Any], times: float) -> dict[str, Any]:
        value = fields.get(new)
        return fields if factor is None or value is None else fields | {new: int(value * times)}

    return VersionStep(
        upgrade=lambda fields: scaled(fields, factor or 1),
        downgrade=lambda fields: scaled(fields, 1 / (factor or 1)),
        renamed={old: new},
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
