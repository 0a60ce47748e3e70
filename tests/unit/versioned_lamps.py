"""A record type through four versions of a program, and an office whose server is updated and rolled back."""

from typing import Annotated, Any

from field_schemas.access import FIELD_WORKERS, SUPERVISION, Access
from field_schemas.policies import Policy
from field_schemas.record import Field, Record, record_type
from field_schemas.registry import Registry
from field_schemas.scopes import in_grid
from field_schemas.types.values import GridPrefix, ShortText
from field_schemas.versions import VersionStep
from tests.unit.builders import REGISTRY

_ACCESS = Access(read=FIELD_WORKERS, create=FIELD_WORKERS, write=FIELD_WORKERS, delete=FIELD_WORKERS)
_SCOPES = (in_grid("grid"),)


def _millimetres(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value * 10 if name == "height_mm" else value for name, value in fields.items()}


def _centimetres(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value // 10 if name == "height_mm" else value for name, value in fields.items()}


RENAMED = {"text": "title", "height_cm": "height_mm", "labels": "tags", "area": "grid"}
STEPS = {2: VersionStep(_millimetres, _centimetres, RENAMED)}


@record_type("lamp", zh="灯", en="Lamp", scopes=(in_grid("area"),), access=_ACCESS)
class FirstLamp(Record):
    """A lamp, in centimetres."""

    area: Annotated[GridPrefix, Field("网格", "Grid")]
    text: Annotated[ShortText, Field("文字", "Text", Policy.REVIEW)]
    height_cm: Annotated[int, Field("高度", "Height")] = 0
    labels: Annotated[list[ShortText], Field("标签", "Tags", Policy.SET)] = []
    contact: Annotated[ShortText | None, Field("联系人", "Contact", read=SUPERVISION)] = None


@record_type("lamp", zh="灯", en="Lamp", scopes=_SCOPES, access=_ACCESS, version=2, steps=STEPS)
class SecondLamp(Record):
    """The same with other names, in millimetres."""

    grid: Annotated[GridPrefix, Field("网格", "Grid")]
    title: Annotated[ShortText, Field("标题", "Title", Policy.REVIEW)]
    height_mm: Annotated[int, Field("高度", "Height")] = 0
    tags: Annotated[list[ShortText], Field("标签", "Tags", Policy.SET)] = []
    contact: Annotated[ShortText | None, Field("联系人", "Contact", read=SUPERVISION, since=1)] = None


@record_type("lamp", zh="灯", en="Lamp", scopes=_SCOPES, access=_ACCESS, version=3, steps=STEPS)
class ThirdLamp(SecondLamp):
    """The same with a field for everybody."""

    colour: Annotated[ShortText | None, Field("颜色", "Colour")] = None


@record_type("lamp", zh="灯", en="Lamp", scopes=_SCOPES, access=_ACCESS, version=4, steps=STEPS)
class FourthLamp(ThirdLamp):
    """The same with a field for few."""

    owner_phone: Annotated[ShortText | None, Field("业主电话", "Owner's phone", read=SUPERVISION, since=4)] = None


def _program(lamp: type[Record]) -> Registry:
    return Registry([*(spec.cls for spec in REGISTRY), lamp])


PROGRAMS = {version: _program(lamp) for version, lamp in enumerate((FirstLamp, SecondLamp, ThirdLamp, FourthLamp), 1)}
"""What the program of each version knows."""
