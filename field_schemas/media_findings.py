"""What the checks of a photo or video can find, in the users' words, and the verdict that follows from it.

Both tables are there to be reviewed by people who know the field: `FINDINGS` says what each finding means for the
proof, `VERDICT_ROWS` how findings together become a verdict. Nothing else decides.
"""

import enum
from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

from field_schemas.labels import Label

Unit = Literal["m", "s", "bits", "pixels", "bytes"]


class Verdict(enum.StrEnum):
    """What a photo or video proves."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    SUSPECT = "suspect"


class Effect(enum.StrEnum):
    """What one finding means for the proof."""

    SUPPORTS = "supports"
    NEUTRAL = "neutral"
    MISSING = "missing"
    """Something that a proof needs is not there. Nobody is blamed."""
    CONTRADICTS = "contradicts"
    """Something cannot be as it was claimed. A person looks at it."""


class Proof(enum.StrEnum):
    """What must be supported before a photo or video counts as verified."""

    BYTES = "bytes"
    TIME = "time"
    PLACE = "place"


class FindingCode(msgspec.Struct, frozen=True):
    """One thing that can be found: its stable name, what it means, its words, and what it proves."""

    name: str
    effect: Effect
    title: Label
    proves: Proof | None = None


class CheckFinding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One finding with the values compared.

    `found` is what the file says, `claimed` what was said of it. `measured` lies beyond or within `threshold`,
    both in `unit`.
    """

    code: str
    found: str | None = None
    claimed: str | None = None
    measured: float | None = None
    threshold: float | None = None
    unit: Unit | None = None

    @property
    def effect(self) -> Effect:
        """What it means for the proof."""
        return FINDINGS[self.code].effect

    def words(self) -> Label:
        """The finding as a person reads it, with the measured value where there is one."""
        title = FINDINGS[self.code].title
        if self.measured is None or self.unit is None:
            return title
        value = _in_words(self.measured, self.unit)
        return Label(f"{title.zh}（{value.zh}）", f"{title.en} ({value.en})")


def _finding(name: str, effect: Effect, zh: str, en: str, proves: Proof | None = None) -> FindingCode:
    return FindingCode(name, effect, Label(zh, en), proves)


_YES, _NOTE, _GAP, _NO = Effect.SUPPORTS, Effect.NEUTRAL, Effect.MISSING, Effect.CONTRADICTS

# fmt: off
_ROWS = (
    # The file itself.
    _finding("digest_matches", _YES, "文件与登记的摘要一致", "The bytes are the announced ones", Proof.BYTES),
    _finding("digest_differs", _NO, "文件与登记的摘要不一致", "The bytes are not the announced ones"),
    _finding("size_differs", _NO, "文件大小与登记的不一致", "The file has another size than the record states"),
    _finding("kind_differs", _GAP, "文件类型与登记的不一致", "The file is of another kind than the record states"),
    _finding("kind_unknown", _GAP, "无法识别的文件类型", "The kind of file is not known"),
    _finding("file_unreadable", _GAP, "文件已损坏，无法解码", "The file is damaged and cannot be decoded"),
    _finding("file_truncated", _GAP, "文件不完整", "The file ends too early"),
    _finding("picture_too_large", _GAP, "图像像素过多，未解码", "The picture has too many pixels to be opened"),
    _finding("inspection_stopped", _GAP, "检查超出限制，已停止", "The inspection ran into its limits and was stopped"),
    _finding("data_appended", _GAP, "文件末尾附有多余数据", "Data follows after the end of the picture"),
    _finding("foreign_file_inside", _NO, "文件中夹带其他类型的内容", "Content of another kind is hidden in the file"),
    # What the file says of itself.
    _finding("metadata_missing", _GAP, "没有拍摄信息（EXIF），可能被应用清除", "No camera information (EXIF); an app may have removed it"),
    _finding("metadata_damaged", _GAP, "拍摄信息已损坏", "The camera information is damaged"),
    # Time.
    _finding("time_matches", _YES, "拍摄时间与采集时间相符", "The photo's time agrees with the capture", Proof.TIME),
    _finding("time_differs", _NO, "拍摄时间与采集时间不符", "The photo's time is off"),
    _finding("time_after_receipt", _NO, "拍摄时间晚于服务器收到的时间", "The photo's time lies after its receipt"),
    _finding("time_long_before", _GAP, "拍摄后很久才上报", "The photo was taken long before it was reported"),
    _finding("time_missing", _GAP, "没有拍摄时间", "No time in this photo"),
    _finding("time_zone_unknown", _GAP, "拍摄时间没有时区", "The photo's time does not say its zone"),
    _finding("time_zone_from_gps", _NOTE, "时区由卫星时间推算", "The zone was found by the GPS time"),
    _finding("time_by_wrong_clock", _GAP, "拍摄时间来自不准的手机时钟", "The photo's time is the phone's own wrong clock"),
    _finding("gps_time_differs", _GAP, "拍摄时间与照片中的卫星定位时间相差过大", "The photo's time lies far from the GPS time in it"),
    _finding("time_vague", _GAP, "录像太长，拍摄时间说明不了问题", "The film is too long for its time to say when"),
    _finding("capture_unbounded", _GAP, "采集时间本身无法确认", "The time of the capture itself is not known well enough"),
    # Place.
    _finding("place_matches", _YES, "拍摄位置与记录位置相符", "The photo was taken at the record's position", Proof.PLACE),
    _finding("place_differs", _NO, "拍摄位置与记录位置不符", "The photo was taken away from the record's position"),
    _finding("task_place_matches", _YES, "拍摄位置在任务地点", "The photo was taken at the task's place", Proof.PLACE),
    _finding("task_place_differs", _NO, "拍摄位置不在任务地点", "The photo was taken away from the task's place"),
    _finding("grid_matches", _YES, "拍摄位置在记录的网格内", "The photo was taken in the record's grid", Proof.PLACE),
    _finding("grid_differs", _NO, "拍摄位置不在记录的网格内", "The photo was taken outside the record's grid"),
    _finding("told_place_differs", _NO, "拍摄位置与登记的拍摄位置不符", "The photo was taken elsewhere than the record states"),
    _finding("place_missing", _GAP, "照片没有位置", "No position in this photo"),
    _finding("place_malformed", _GAP, "照片的位置无法读取", "The photo's position cannot be read"),
    _finding("place_zero", _GAP, "照片的位置为零点，无效", "The photo's position is 0, 0: no real position"),
    _finding("place_without_fix", _GAP, "拍摄时没有卫星定位，位置是旧的", "No satellite fix at that moment: the position is an old one"),
    _finding("place_of_old_fix", _GAP, "照片位置来自较早的定位，距离无法说明问题", "The photo's position is from an older fix: the distance proves nothing"),
    _finding("place_datum_unknown", _GAP, "照片位置的坐标系未知", "The datum of the photo's position is not known"),
    _finding("place_datum_assumed", _NOTE, "照片未注明坐标系，按 WGS-84 处理", "The photo states no datum; WGS-84 is taken"),
    _finding("place_vague", _GAP, "位置精度不足，无法比较", "The position is too vague to compare"),
    _finding("place_not_claimed", _GAP, "记录和任务都没有位置或区域", "Neither record nor task has a position or an area"),
    # Device.
    _finding("device_matches", _YES, "拍摄设备与登记的设备相符", "The camera is that of the enrolled device"),
    _finding("device_differs", _NO, "拍摄设备与登记的设备不符", "The camera is not that of the enrolled device"),
    _finding("device_unnamed", _GAP, "照片没有注明拍摄设备", "The photo does not name its camera"),
    _finding("device_not_enrolled", _NOTE, "登记的设备没有型号，未比较", "The enrolled device states no model to compare"),
    # Editing and reuse.
    _finding("editor_named", _NO, "文件经图像编辑软件保存", "The file was saved by editing software"),
    _finding("saved_later", _GAP, "文件在拍摄之后重新保存过", "The file was saved again after it was taken"),
    _finding("camera_tags_missing", _GAP, "缺少相机必写的拍摄参数", "Settings that every camera writes are missing"),
    _finding("thumbnail_differs", _NO, "内嵌缩略图与画面不同", "The embedded thumbnail shows another picture"),
    _finding("seen_same", _NO, "同一文件曾用于其他记录", "The same file was used for another record"),
    _finding("seen_nearly_same", _GAP, "几乎相同的画面曾用于其他记录", "Nearly the same picture was used for another record"),
    _finding("seen_here", _NOTE, "同一事项中有几乎相同的画面", "Nearly the same picture belongs to the same matter"),
    _finding("maybe_screenshot", _GAP, "可能是截图", "This may be a screenshot"),
)
# fmt: on

FINDINGS: dict[str, FindingCode] = {code.name: code for code in _ROWS}


class VerdictRow(msgspec.Struct, frozen=True):
    """When a verdict is given, in words, and the finding effect or the gap in the proof that asks for it."""

    verdict: Verdict
    when: Label
    effect: Effect | None = None
    unless_proven: Collection[Proof] = ()


# The first row that applies decides.
VERDICT_ROWS = (
    VerdictRow(Verdict.SUSPECT, Label("有任何一项相矛盾", "any finding contradicts"), Effect.CONTRADICTS),
    VerdictRow(Verdict.UNVERIFIED, Label("有任何一项缺失", "any finding names something missing"), Effect.MISSING),
    VerdictRow(
        Verdict.UNVERIFIED,
        Label("文件、时间、位置未全部证实", "bytes, time and place are not all supported"),
        unless_proven=tuple(Proof),
    ),
    VerdictRow(Verdict.VERIFIED, Label("其余情形", "otherwise")),
)


def verdict_of(findings: Iterable[CheckFinding]) -> Verdict:
    """The verdict by the first of VERDICT_ROWS that applies."""
    codes = [FINDINGS[finding.code] for finding in findings]
    effects = {code.effect for code in codes}
    proven = {code.proves for code in codes}
    return next(row.verdict for row in VERDICT_ROWS if _applies(row, effects, proven))


def _applies(row: VerdictRow, effects: set[Effect], proven: set[Proof | None]) -> bool:
    if row.effect is not None:
        return row.effect in effects
    return not row.unless_proven or not proven.issuperset(row.unless_proven)


_STEPS: dict[str, tuple[tuple[float, str, str], ...]] = {
    "s": ((86_400, "天", "days"), (3_600, "小时", "hours"), (60, "分钟", "minutes"), (1, "秒", "s")),
    "m": ((1_000, "公里", "km"), (1, "米", "m")),
    "bits": ((1, "位", "bits"),),
    "pixels": ((1_000_000, "百万像素", "megapixels"), (1, "像素", "pixels")),
    "bytes": ((1_000_000, "MB", "MB"), (1_000, "kB", "kB"), (1, "字节", "bytes")),
}


def _in_words(measured: float, unit: str) -> Label:
    """A value in the largest step of its unit that it fills: 10,800 s reads 3 hours."""
    size, zh, en = next((step for step in _STEPS[unit] if abs(measured) >= step[0]), _STEPS[unit][-1])
    value = f"{measured / size:,.1f}".removesuffix(".0")
    return Label(f"{value} {zh}", f"{value} {en}")
