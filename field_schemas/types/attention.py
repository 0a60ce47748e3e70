"""Work that sync leaves for a person: conflicts and refusals. The server creates them, people close them."""

from typing import Annotated, Any
from uuid import UUID

import msgspec

from field_schemas.access import Access, Role
from field_schemas.policies import Policy
from field_schemas.record import Field, Record, record_type
from field_schemas.scopes import assigned_to, in_scopes
from field_schemas.types.values import ShortText, UserId
from field_schemas.workflow import workflow

_SUPERVISORS = frozenset({Role.SUPERVISOR})
_CONCERNED = frozenset({Role.SUPERVISOR, Role.SELF})


class FieldConflict(msgspec.Struct, frozen=True):
    """One field two people changed at once: the value both started from, the one that stands, the one offered.

    `standing_by` is the user who wrote the value that stands.
    """

    field: str
    base: Any
    standing: Any
    offered: Any
    standing_by: str | None = None


@record_type(
    "conflict",
    zh="冲突",
    en="Conflict",
    scopes=(in_scopes("concerns"), assigned_to("assignee")),
    access=Access(read=_CONCERNED, write=_SUPERVISORS),
    title="record_type",
)
class Conflict(Record):
    """Concurrent edits that a supervisor settles by setting `resolution` (field to value) and `state` resolved.

    `differences` and `resolution` name fields as the record's type had them at `type_version`.
    """

    record_type: Annotated[ShortText, Field("记录类型", "Record type", Policy.SERVER_ONLY)]
    record: Annotated[UUID, Field("记录", "Record", Policy.SERVER_ONLY)]
    seen_version: Annotated[int, Field("冲突时版本", "Version at conflict", Policy.SERVER_ONLY)]
    change: Annotated[UUID, Field("更改", "Change", Policy.SERVER_ONLY)]
    offered_by: Annotated[UserId, Field("提出人", "Offered by", Policy.SERVER_ONLY)]
    differences: Annotated[list[FieldConflict], Field("差异", "Differences", Policy.SERVER_ONLY)]
    concerns: Annotated[list[str], Field("范围", "Scopes", Policy.SERVER_ONLY)]
    type_version: Annotated[int, Field("类型版本", "Version of the type", Policy.SERVER_ONLY)] = 1
    assignee: Annotated[UserId | None, Field("处理人", "Assignee", write=_SUPERVISORS)] = None
    resolution: Annotated[dict[str, Any], Field("处理结果", "Resolution", Policy.FIRST_WRITER)] = {}
    state: Annotated[
        str, Field("状态", "State", Policy.WORKFLOW, workflow("open", ("open", "resolved", _SUPERVISORS)))
    ] = "open"


@record_type(
    "refusal",
    zh="退回",
    en="Refusal",
    scopes=(in_scopes("concerns"), assigned_to("assignee")),
    access=Access(read=_CONCERNED, write=_CONCERNED),
    title="code",
)
class Refusal(Record):
    """A change the server did not apply, kept until its author or a supervisor deals with it.

    A supervisor who sets the state `applied` makes the change by the own authority. `refused` names fields as the
    record's type had them at `type_version`.
    """

    record_type: Annotated[ShortText, Field("记录类型", "Record type", Policy.SERVER_ONLY)]
    record: Annotated[UUID, Field("记录", "Record", Policy.SERVER_ONLY)]
    change: Annotated[UUID, Field("更改", "Change", Policy.SERVER_ONLY)]
    author: Annotated[UserId, Field("提交人", "Author", Policy.SERVER_ONLY)]
    code: Annotated[ShortText, Field("原因代码", "Code", Policy.SERVER_ONLY)]
    detail: Annotated[str, Field("原因", "Reason", Policy.SERVER_ONLY)]
    refused: Annotated[dict[str, Any], Field("被退回的内容", "What was refused", Policy.SERVER_ONLY)]
    concerns: Annotated[list[str], Field("范围", "Scopes", Policy.SERVER_ONLY)]
    stamp: Annotated[int, Field("先后次序", "Order of the change among its author's", Policy.SERVER_ONLY)] = 0
    type_version: Annotated[int, Field("类型版本", "Version of the type", Policy.SERVER_ONLY)] = 1
    undoes: Annotated[UUID | None, Field("要撤销的更改", "Change to be undone", Policy.SERVER_ONLY)] = None
    assignee: Annotated[UserId | None, Field("处理人", "Assignee", write=_SUPERVISORS)] = None
    state: Annotated[
        str,
        Field(
            "状态",
            "State",
            Policy.WORKFLOW,
            workflow(
                "open",
                ("open", "resent", _CONCERNED),
                ("open", "dismissed", _CONCERNED),
                ("open", "applied", _SUPERVISORS),
            ),
        ),
    ] = "open"
