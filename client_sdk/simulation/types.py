"""A record type with a field of every merge policy, and fields that not everyone may read or write."""

from typing import Annotated

from field_schemas.access import FIELD_WORKERS, INSPECTION, SUPERVISION, Access
from field_schemas.policies import Policy
from field_schemas.record import Field, Record, record_type
from field_schemas.scopes import OF_OWNER, in_grid, of_person
from field_schemas.types.values import GridPrefix, ShortText, UserId
from field_schemas.workflow import workflow

STEPS = workflow(
    "new",
    ("new", "begun", INSPECTION),
    ("begun", "done", INSPECTION),
    ("done", "begun", INSPECTION),
    ("done", "closed", SUPERVISION),
)


@record_type(
    "sample",
    zh="样本",
    en="Sample",
    scopes=(in_grid("grid"), of_person("assignee"), OF_OWNER),
    access=Access(read=FIELD_WORKERS, create=INSPECTION, write=INSPECTION, delete=INSPECTION),
    title="last",
)
class Sample(Record):
    """One of each."""

    grid: Annotated[GridPrefix, Field("网格", "Grid")]
    assignee: Annotated[UserId | None, Field("执行人", "Assignee")] = None
    last: Annotated[ShortText | None, Field("后写", "Last", searchable=True)] = None
    first: Annotated[ShortText | None, Field("先写", "First", Policy.FIRST_WRITER)] = None
    server: Annotated[ShortText | None, Field("服务器", "Server", Policy.SERVER_ONLY)] = None
    total: Annotated[int, Field("合计", "Total", Policy.COUNTER)] = 0
    tags: Annotated[list[ShortText], Field("标签", "Tags", Policy.SET)] = []  # noqa: RUF012 msgspec copies it
    entries: Annotated[list[ShortText], Field("条目", "Entries", Policy.APPEND)] = []  # noqa: RUF012 as above
    most: Annotated[int | None, Field("最大", "Most", Policy.MAXIMUM)] = None
    least: Annotated[int | None, Field("最小", "Least", Policy.MINIMUM)] = None
    state: Annotated[str, Field("状态", "State", Policy.WORKFLOW, STEPS)] = "new"
    judged: Annotated[ShortText, Field("判断", "Judged", Policy.REVIEW)] = "unknown"
    secret: Annotated[ShortText | None, Field("密", "Secret", read=SUPERVISION)] = None
    order: Annotated[ShortText | None, Field("指示", "Order", write=SUPERVISION)] = None
