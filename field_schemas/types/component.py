"""City component 部件: an element of the elements list that stands somewhere and can be inspected."""

from typing import Annotated, Literal

from field_schemas.access import FIELD_WORKERS, INSPECTION, SUPERVISION, Access
from field_schemas.places import Position
from field_schemas.policies import Policy
from field_schemas.record import Field, Record, record_type
from field_schemas.scopes import in_grid
from field_schemas.types.values import ClassCode, GridPrefix, LongText, ShortText, Time

Condition = Literal["good", "worn", "damaged", "missing", "unknown"]


@record_type(
    "component",
    zh="部件",
    en="Component",
    scopes=(in_grid("grid"),),
    access=Access(read=FIELD_WORKERS, create=INSPECTION, write=INSPECTION, delete=SUPERVISION),
    place="place",
    title="name",
)
class Component(Record):
    """A manhole cover, lamp, bin, tree guard, ...: what it is, where it stands, how it fares."""

    code: Annotated[ClassCode, Field("标识码", "Code", Policy.FIRST_WRITER, searchable=True)]
    kind: Annotated[ClassCode, Field("类别", "Class", Policy.REVIEW)]
    grid: Annotated[GridPrefix, Field("网格", "Grid")]
    place: Annotated[Position, Field("位置", "Position", Policy.REVIEW)]
    name: Annotated[ShortText | None, Field("名称", "Name", searchable=True)] = None
    condition: Annotated[Condition, Field("状况", "Condition", Policy.REVIEW)] = "unknown"
    material: Annotated[ShortText | None, Field("材质", "Material")] = None
    address: Annotated[ShortText | None, Field("地址", "Address", searchable=True)] = None
    responsible: Annotated[
        ShortText | None, Field("责任主体", "Responsible subject", write=SUPERVISION, searchable=True)
    ] = None
    installed_at: Annotated[Time | None, Field("安装时间", "Installed")] = None
    last_inspected_at: Annotated[Time | None, Field("最近巡查", "Last inspected", Policy.MAXIMUM)] = None
    inspections: Annotated[int, Field("巡查次数", "Inspections", Policy.COUNTER)] = 0
    tags: Annotated[list[ShortText], Field("标签", "Tags", Policy.SET)] = []
    remark: Annotated[LongText | None, Field("备注", "Remark", searchable=True)] = None
