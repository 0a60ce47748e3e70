"""Scene `media`: photos and a film from a bad network, and what the server finds when it looks into them."""

import asyncio
import hashlib
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import msgspec

from client_sdk import Attached, Device, MediaState
from client_sdk.demo import camera, show
from client_sdk.demo.bad_network import BadNetwork
from client_sdk.demo.city import report_finding, sign_in
from client_sdk.demo.show import Words
from client_sdk.demo.stage import Stage, StageError
from client_sdk.media.items import STATE_WORDS
from field_schemas.media_findings import CheckFinding
from field_schemas.places import Position
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from field_schemas.types.media_check import MediaCheck

_FILM_BYTES = 40_000_000
_CUT_AFTER = 3_000_000
_CHECKED_WITHIN_S = 90
_FAR_DEGREES = 0.012


class Shown(msgspec.Struct):
    """One photo or film of the scene, and the finding it belongs to."""

    what: Words
    file: Path
    expected: MediaState
    because: str | None
    attached: Attached[Finding]


async def play(stage: Stage) -> None:
    """Play the scene."""
    async with AsyncExitStack() as devices, BadNetwork(stage.url, _CUT_AFTER) as network:
        show.scene(("照片与视频：网络差，证据要经得起查", "Photos and films: a bad network, and evidence that holds"))
        chief = await sign_in(stage, devices, "zhao.lei")
        path = stage.new_file("li.na")
        li = await devices.enter_async_context(
            Device.open(path, server=network.url, model=f"{camera.MAKE} {camera.MODEL}")
        )
        await li.sign_in("li.na", stage.password)
        await li.sync()
        place = (await li.find(Component, limit=1))[0]
        taken = await _take(li, place, stage.folder)
        await _send(li, network)
        checks = await _checked(chief, taken)
        _show(taken, checks)
        await _claim(chief, taken, checks)
        left = list(path.with_name(path.name + ".media").iterdir())
        show.check(
            not left, ("服务器确认收妥后，手机上的副本已释放", "held by the server, the phone's copies are freed")
        )


async def _take(li: Device, place: Component, folder: Path) -> list[Shown]:
    """What Li Na photographs, attached offline as she goes."""
    here = place.place
    if here is None:
        raise StageError("a component of the sample has no place")
    lon, lat = here.wgs84()
    far = Position(lon + _FAR_DEGREES, lat)
    right = camera.photo(folder / "IMG_0412.jpg", 412, here)
    scenes: list[tuple[Words, Path, MediaState, str | None]] = [
        (("当场拍摄", "taken on the spot"), right, MediaState.VERIFIED, None),
        (
            ("在别处拍摄", "taken elsewhere"),
            camera.photo(folder / "IMG_0413.jpg", 413, far),
            MediaState.SUSPECT,
            "place_differs",
        ),
        (
            ("拍摄信息被清除", "stripped of its EXIF"),
            camera.photo(folder / "IMG_0414.jpg", 414, here, exif=False),
            MediaState.UNVERIFIED,
            "metadata_missing",
        ),
        (("再次使用的照片", "used a second time"), right, MediaState.SUSPECT, "seen_same"),
        (
            ("40 MB 视频", "a film of 40 MB"),
            camera.film(folder / "VID_0415.mp4", 415, here, _FILM_BYTES),
            MediaState.VERIFIED,
            None,
        ),
    ]
    shown = []
    for number, (what, file, expected, because) in enumerate(scenes, 1):
        finding = await report_finding(li, place, f"现场取证 {number}")
        shown.append(Shown(what, file, expected, because, await li.attach(finding, file)))
    warned = [[one.code for one in item.attached.warnings] for item in shown]
    rows = [(item.file.name, item.what, _words(item.attached.warnings)) for item in shown]
    columns = (("文件", "file"), ("内容", "what"), ("手机当场提醒", "told at once, on the phone"))
    show.table(columns, rows, ("李娜在没有网络的街上", "Li Na, in a street without network"))
    show.check(
        warned == [[], ["place_differs"], ["metadata_missing"], [], []],
        (
            "位置不符、没有拍摄信息，离开前手机就已提醒",
            "a wrong place, missing EXIF: the phone says so before she walks away",
        ),
    )
    return shown


async def _send(li: Device, network: BadNetwork) -> None:
    """Send all over the bad network, in the background, until the server holds it."""
    held = asyncio.Event()
    names: list[str] = []

    def heard(name: str, state: MediaState) -> None:
        if state is MediaState.HELD:
            names.append(name)
            held.set()

    li.observe_media(lambda item: heard(item.name, item.state))
    async with li.background(interval_s=0.5), asyncio.timeout(_CHECKED_WITHIN_S):
        while any(item.state in (MediaState.WAITING, MediaState.UPLOADING) for item in await li.media()):
            held.clear()
            await held.wait()
    show.say(
        (
            f"网络断了 {network.cuts} 次，手机每次都从服务器已收到的地方继续。",
            f"The connection was cut {network.cuts} times; each time the phone went on from what the server held.",
        )
    )
    show.check(
        names[-1].startswith("VID"),
        ("照片先到，视频最后", "photos came first, the film last"),
    )
    show.check(
        network.cuts >= 10 and network.sent < 1.25 * _FILM_BYTES,
        (
            f"为 {_FILM_BYTES / 1e6:.0f} MB 的视频及照片一共只发送了 {network.sent / 1e6:.1f} MB",
            f"{network.sent / 1e6:.1f} MB were sent for photos and a film of {_FILM_BYTES / 1e6:.0f} MB",
        ),
    )


async def _checked(chief: Device, taken: list[Shown]) -> dict[UUID, MediaCheck]:
    """The verdicts as they reach the supervisor, by the finding they are about."""
    wanted = {item.attached.record.id for item in taken}
    async with asyncio.timeout(_CHECKED_WITHIN_S):
        while True:
            await chief.sync()
            found = {check.record: check for check in await chief.find(MediaCheck) if check.record in wanted}
            if found.keys() == wanted:
                return found
            await asyncio.sleep(0.5)


def _show(taken: list[Shown], checks: dict[UUID, MediaCheck]) -> None:
    rows = []
    for item in taken:
        check = checks[item.attached.record.id]
        verdict = STATE_WORDS[MediaState(check.verdict)]
        rows.append((item.what, (verdict.zh, verdict.en), _words(check.findings)))
    columns = (("内容", "what"), ("结论", "verdict"), ("核验结果", "findings"))
    show.table(columns, rows, ("赵磊看到的", "What Zhao Lei sees"))


async def _claim(chief: Device, taken: list[Shown], checks: dict[UUID, MediaCheck]) -> None:
    for item in taken:
        check = checks[item.attached.record.id]
        codes = [finding.code for finding in check.findings]
        verdict = STATE_WORDS[item.expected]
        what = item.what if isinstance(item.what, tuple) else (item.what, item.what)
        show.check(
            MediaState(check.verdict) is item.expected and (item.because is None or item.because in codes),
            (f"{what[0]}：{verdict.zh}", f"{what[1]}: {verdict.en}"),
        )
    reused = checks[taken[3].attached.record.id]
    show.check(
        reused.earlier == [taken[0].attached.record.id],
        ("再次使用的照片指明了它先前所在的记录", "the reused photo names the record it was used in before"),
    )
    film = taken[-1]
    got = await chief.media_file(film.attached.record, film.attached.ref)
    show.check(
        _sha256(got) == _sha256(film.file),
        ("赵磊打开的视频与手机拍下的逐字节相同", "the film Zhao Lei opens is the phone's, byte for byte"),
    )


def _words(findings: Iterable[CheckFinding]) -> Words:
    words = [finding.words() for finding in findings]
    return "；".join(one.zh for one in words), "; ".join(one.en for one in words)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
