"""Programs of three ages, and the record type that changed between them.

From the first to the second `text` became `title` and centimetres millimetres; the third added `colour`. Phones and
servers run any of them, and what servers of one program have stored others read.
"""

from typing import Annotated, Any, NamedTuple

from field_schemas.access import FIELD_WORKERS, INSPECTION, Access
from field_schemas.policies import Policy
from field_schemas.record import Field, Record, record_type
from field_schemas.registry import Registry, load_types
from field_schemas.scopes import in_grid
from field_schemas.types.values import GridPrefix, ShortText
from field_schemas.versions import VersionStep

_SCOPES = (in_grid("grid"),)
_ACCESS = Access(read=FIELD_WORKERS, create=INSPECTION, write=INSPECTION, delete=INSPECTION)


def _to_second(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value * 10 if name == "height_mm" else value for name, value in fields.items()}


def _to_first(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value // 10 if name == "height_mm" else value for name, value in fields.items()}


_STEPS = {2: VersionStep(_to_second, _to_first, {"text": "title", "height_cm": "height_mm"})}


@record_type("sign", zh="牌", en="Sign", scopes=_SCOPES, access=_ACCESS)
class FirstSign(Record):
    """A sign, as the oldest program knows it."""

    grid: Annotated[GridPrefix, Field("网格", "Grid")]
    text: Annotated[ShortText, Field("文字", "Text")]
    height_cm: Annotated[int, Field("高度", "Height")] = 0
    tags: Annotated[list[ShortText], Field("标签", "Tags", Policy.SET)] = []  # noqa: RUF012 msgspec copies it


@record_type("sign", zh="牌", en="Sign", scopes=_SCOPES, access=_ACCESS, version=2, steps=_STEPS)
class SecondSign(Record):
    """The same with a title, in millimetres."""

    grid: Annotated[GridPrefix, Field("网格", "Grid")]
    title: Annotated[ShortText, Field("标题", "Title")]
    height_mm: Annotated[int, Field("高度", "Height")] = 0
    tags: Annotated[list[ShortText], Field("标签", "Tags", Policy.SET)] = []  # noqa: RUF012 as above


@record_type("sign", zh="牌", en="Sign", scopes=_SCOPES, access=_ACCESS, version=3, steps=_STEPS)
class ThirdSign(Record):
    """The same with a colour."""

    grid: Annotated[GridPrefix, Field("网格", "Grid")]
    title: Annotated[ShortText, Field("标题", "Title")]
    height_mm: Annotated[int, Field("高度", "Height")] = 0
    tags: Annotated[list[ShortText], Field("标签", "Tags", Policy.SET)] = []  # noqa: RUF012 as above
    colour: Annotated[ShortText | None, Field("颜色", "Colour")] = None


class Program(NamedTuple):
    """One age of the program: the version of `sign` it knows, and all record types."""

    version: int
    sign: type[Record]
    registry: Registry


def _program(version: int, sign: type[Record]) -> Program:
    others = load_types("client_sdk.simulation.types")
    return Program(version, sign, Registry([*(spec.cls for spec in others), sign]))


PROGRAMS = (_program(1, FirstSign), _program(2, SecondSign), _program(3, ThirdSign))
NEWEST = PROGRAMS[-1]


def as_newest(record_type: str, fields: dict[str, Any], version: int) -> dict[str, Any]:
    """What was written by a program of an age, as the newest has it: a second reading of the steps."""
    if record_type != "sign" or version > 1:
        return fields
    known = {name: value for name, value in fields.items() if name not in ("text", "height_cm")}
    if "text" in fields:
        known["title"] = fields["text"]
    if "height_cm" in fields:
        known["height_mm"] = fields["height_cm"] * 10
    return known


def as_known(record_type: str, fields: dict[str, Any], version: int) -> dict[str, Any]:
    """What a program of an age is to show of a record: a second reading of the steps."""
    if record_type != "sign" or version > 1:
        return fields
    known = {name: value for name, value in fields.items() if name not in ("title", "height_mm")}
    if "title" in fields:
        known["text"] = fields["title"]
    if "height_mm" in fields:
        known["height_cm"] = fields["height_mm"] // 10
    return known
