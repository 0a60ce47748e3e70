"""Scene `old-client`: a phone with last year's app works on, until the server needs a newer one."""

from contextlib import AsyncExitStack
from typing import Annotated

from client_sdk import Device, TooOld
from client_sdk.demo import show
from client_sdk.demo.city import STREET, sign_in
from client_sdk.demo.stage import Stage
from client_sdk.demo.trees import TREE_ACCESS, Tree
from field_schemas.codes import CODES
from field_schemas.record import Field, Record, record_type
from field_schemas.registry import Registry, load_types
from field_schemas.scopes import in_grid
from field_schemas.types.values import GridPrefix, ShortText

_MIN_PROTOCOL = "GRIDWALK_MIN_PROTOCOL"


@record_type("tree", zh="树木", en="Tree", scopes=(in_grid("grid"),), access=TREE_ACCESS, title="name")
class OldTree(Record):
    """A tree as last year's app knows it."""

    grid: Annotated[GridPrefix, Field("网格", "Grid")]
    name: Annotated[ShortText, Field("名称", "Name")]
    height_cm: Annotated[int, Field("高度(厘米)", "Height (cm)")] = 0


async def play(stage: Stage) -> None:
    """Play the scene."""
    async with AsyncExitStack() as devices:
        show.scene(("旧版应用：照常工作，什么也不丢", "An old app: it works on, and nothing is lost"))
        old = await sign_in(stage, devices, "li.na", _with(OldTree))
        new = await sign_in(stage, devices, "wang.wei", _with(Tree))
        await _both_ways(old, new)
        await _too_old(stage, old, new)


async def _both_ways(old: Device, new: Device) -> None:
    planted = await old.create(OldTree(grid=STREET, name="公园榕树", height_cm=310))
    await old.sync()
    await new.sync()
    first = await new.get(Tree, planted.id) or Tree(grid=STREET, name="?")
    await new.update(first, height_mm=3_250, species="榕树")
    await new.sync()
    await old.sync()
    back = await old.get(OldTree, planted.id) or planted
    await old.update(back, height_cm=330)
    await old.sync()
    await new.sync()
    last = await new.get(Tree, planted.id) or first
    rows = [
        (("旧版录入", "the old app creates it"), "310 cm", f"{first.height_mm} mm", first.species or "–"),
        (("新版更改，并填写树种", "the new app changes it"), f"{back.height_cm} cm", "3250 mm", "榕树"),
        (("旧版再更改", "the old app changes it"), "330 cm", f"{last.height_mm} mm", last.species or "–"),
    ]
    columns = (("一棵树", "one tree"), ("旧版应用", "old app"), ("新版应用", "new app"))
    show.table((*columns, ("树种（旧版没有此项）", "species (unknown to the old app)")), rows)
    show.check(
        (first.height_mm, back.height_cm, last.height_mm) == (3_100, 325, 3_300),
        (
            "每个应用看到自己的单位，服务器双向换算",
            "each app sees its own unit: the server converts both ways",
        ),
    )
    show.check(
        last.species == "榕树",
        (
            "旧版不认识的树种，经它更改后仍在",
            "the species, of which the old app knows nothing, survived its changes",
        ),
    )


async def _too_old(stage: Stage, old: Device, new: Device) -> None:
    await stage.restart_server(**{_MIN_PROTOCOL: "99"})
    waiting = await old.create(OldTree(grid=STREET, name="路口香樟", height_cm=450))
    code = ""
    try:
        await old.sync()
    except TooOld as error:
        code = error.code
    unsent = await old.pending()
    await stage.restart_server(**{_MIN_PROTOCOL: "1"})
    await new.sync()
    arrived = await new.get(Tree, waiting.id)
    told = CODES.get(code)
    if told:
        advice = (
            f"旧版应用收到：{told.title.zh}。{told.advice.zh}。",
            f"The old app is told: {told.title.en}. {told.advice.en}.",
        )
        show.say(advice)
    show.check(
        told is not None,
        ("服务器不再支持旧版时，会明白地说出来", "a server that needs a newer app says so plainly"),
    )
    show.check(
        not unsent and arrived is not None,
        ("但先收下了它尚未发送的工作", "but only after its unsent work was taken"),
    )


def _with(tree: type[Record]) -> Registry:
    return Registry([*(spec.cls for spec in load_types()), tree])
