"""How far things may lie apart before a check says so."""

from typing import Annotated

import msgspec
from msgspec import Meta

from field_schemas.labels import Label


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the checks, units in the names.

    A distance is within bounds when it is at most its threshold plus the accuracies stated by both sides. What is
    vaguer than the `vague` thresholds is not compared: it would let anything pass. People take a photo, then fill
    in the form: hence the minutes between its time and the capture.
    """

    photo_time_gap_s: Annotated[
        int, Meta(ge=0), Label("照片时间与采集时间允许相差（秒）", "Seconds between a photo's time and its capture")
    ] = 900
    photo_told_gap_s: Annotated[
        int,
        Meta(ge=0),
        Label("注明拍摄时间的照片允许迟报（秒）", "Seconds a photo may be reported late when its time is told"),
    ] = 3_600
    photo_fix_gap_s: Annotated[
        int,
        Meta(ge=0),
        Label("照片时间与卫星定位时间允许相差（秒）", "Seconds between a photo's time and the GPS time in it"),
    ] = 1_800
    photo_moving_m_s: Annotated[
        int,
        Meta(ge=0),
        Label(
            "定位之后到拍摄之间可能移动的速度（米/秒）",
            "Metres a second somebody may move between the fix of a photo's position and the photo",
        ),
    ] = 15
    photo_vague_time_s: Annotated[
        int,
        Meta(ge=1),
        Label(
            "采集时间误差或录像长度超过多少秒不比较",
            "Seconds of error of a capture time, or of a film, too vague to compare",
        ),
    ] = 7_200
    photo_after_receipt_s: Annotated[
        int, Meta(ge=0), Label("照片时间允许晚于接收（秒）", "Seconds a photo's time may lie after its receipt")
    ] = 120
    photo_save_gap_s: Annotated[
        int, Meta(ge=0), Label("拍摄到保存允许相差（秒）", "Seconds between taking a photo and saving it")
    ] = 120
    photo_place_gap_m: Annotated[
        int, Meta(ge=0), Label("照片与记录位置允许相距（米）", "Metres between a photo and its record")
    ] = 50
    photo_task_gap_m: Annotated[
        int, Meta(ge=0), Label("照片与任务地点允许相距（米）", "Metres between a photo and the task's place or area")
    ] = 100
    photo_vague_place_m: Annotated[
        int, Meta(ge=1), Label("位置精度超过多少米不比较", "Accuracy of a position, metres, too vague to compare")
    ] = 200
    photo_thumbnail_bits: Annotated[
        int,
        Meta(ge=0, le=64),
        Label("缩略图与画面允许差异（64位中）", "Bits of 64 a thumbnail may differ from its photo"),
    ] = 20
    photo_same_bits: Annotated[
        int,
        Meta(ge=0, le=7),
        Label("视为相同画面的差异（64位中）", "Bits of 64 within which two photos are the same"),
    ] = 6


def thresholds_of(settings: Thresholds) -> Thresholds:
    """The thresholds alone of settings that hold more."""
    return Thresholds(**{name: getattr(settings, name) for name in Thresholds.__struct_fields__})
