"""Media check 媒体核验: what the server found when a photo or video arrived. Only the server writes it."""

from typing import Annotated
from uuid import UUID

from field_schemas.access import SUPERVISION, Access, Role
from field_schemas.media_findings import CheckFinding, Verdict
from field_schemas.policies import Policy
from field_schemas.record import Field, Record, record_type
from field_schemas.scopes import in_scopes, of_person
from field_schemas.types.values import ShortText, Time, UserId


@record_type(
    "media_check",
    zh="媒体核验",
    en="Media check",
    scopes=(in_scopes("concerns"), of_person("author")),
    access=Access(read=frozenset({Role.SUPERVISOR, Role.SELF})),
    title="verdict",
)
class MediaCheck(Record):
    """Verdict and findings on one photo or video of one record.

    `media` is its digest; `concerns` are the scopes of the record that names it. `earlier` are records in which
    the same picture was used before: other people's, so for supervisors alone.
    """

    media: Annotated[ShortText, Field("媒体摘要", "Media digest", Policy.SERVER_ONLY)]
    record_type: Annotated[ShortText, Field("记录类型", "Record type", Policy.SERVER_ONLY)]
    record: Annotated[UUID, Field("记录", "Record", Policy.SERVER_ONLY)]
    author: Annotated[UserId, Field("提交人", "Author", Policy.SERVER_ONLY)]
    verdict: Annotated[Verdict, Field("结论", "Verdict", Policy.SERVER_ONLY)]
    findings: Annotated[list[CheckFinding], Field("核验结果", "Findings", Policy.SERVER_ONLY)]
    concerns: Annotated[list[str], Field("范围", "Scopes", Policy.SERVER_ONLY)]
    checked_at: Annotated[Time, Field("核验时间", "Checked", Policy.SERVER_ONLY)]
    earlier: Annotated[list[UUID], Field("曾用于", "Used before in", Policy.SERVER_ONLY, read=SUPERVISION)] = []
