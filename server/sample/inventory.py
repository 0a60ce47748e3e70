"""What stands in the sample city: kinds of components, and the parks and venues."""

import datetime as dt
import random
from collections.abc import Iterator

import msgspec

from server.sample.city import DISTRICT, METRES_PER_DEGREE_LAT, METRES_PER_DEGREE_LON, ROADS

_CHINA = dt.timezone(dt.timedelta(hours=8))
_FIRST_DAY = dt.date(2008, 1, 1)
_DAYS = 6_500
_CONDITIONS = (("good", 78), ("worn", 13), ("damaged", 4), ("missing", 1), ("unknown", 4))


class Kind(msgspec.Struct, frozen=True):
    """A class of components: four digits, name, how many of a hundred, how far from the road's middle (m)."""

    code: str
    name: str
    share: int
    aside_m: tuple[float, float]
    materials: tuple[str, ...]
    responsible: str


_WATER = "水务集团"
_CITY = "区城市管理和综合执法局"
_POWER = "供电局"
_GREEN = "园林绿化养护单位"
_TRAFFIC = "交警大队"

KINDS = (
    Kind("0101", "上水井盖", 10, (2, 10), ("铸铁", "球墨铸铁"), _WATER),
    Kind("0102", "污水井盖", 10, (2, 10), ("铸铁", "球墨铸铁", "复合材料"), _WATER),
    Kind("0103", "雨水井盖", 9, (2, 10), ("铸铁", "复合材料"), _WATER),
    Kind("0104", "雨水箅子", 10, (9, 11), ("铸铁", "复合材料"), _WATER),
    Kind("0105", "电力井盖", 5, (10, 14), ("复合材料", "水泥"), _POWER),
    Kind("0107", "通讯井盖", 5, (10, 14), ("复合材料", "水泥"), "通信管道公司"),
    Kind("0111", "燃气井盖", 4, (10, 14), ("铸铁", "复合材料"), "燃气集团"),
    Kind("0113", "消防设施", 2, (11, 14), ("铸铁",), "消防救援大队"),
    Kind("0118", "路灯", 13, (11, 13), ("热镀锌钢", "铝合金"), "灯光环境管理中心"),
    Kind("0203", "公交站亭", 1, (12, 15), ("不锈钢", "铝合金"), "公交集团"),
    Kind("0209", "交通标志牌", 5, (11, 13), ("铝合金",), _TRAFFIC),
    Kind("0210", "交通信号灯", 2, (11, 13), ("铝合金",), _TRAFFIC),
    Kind("0305", "垃圾箱", 6, (12, 16), ("不锈钢", "塑料"), _CITY),
    Kind("0307", "广告牌匾", 3, (16, 24), ("铝塑板", "灯箱布"), _CITY),
    Kind("0402", "行道树", 12, (11, 14), (), _GREEN),
    Kind("0407", "街头坐椅", 3, (14, 18), ("防腐木", "石材"), _GREEN),
)


class Component(msgspec.Struct, frozen=True):
    """One component; times are ISO 8601, degrees WGS-84."""

    code: str
    kind: str
    name: str
    lon: float
    lat: float
    condition: str
    material: str
    address: str
    responsible: str
    installed_at: str


class Park(msgspec.Struct, frozen=True):
    """A park or a bookable venue, by its approximate centre."""

    code: str
    kind: str
    name: str
    lon: float
    lat: float
    responsible: str


_PARK_CENTRES = (
    ("莲花山公园", 22.5569, 114.0586),
    ("笔架山公园", 22.5650, 114.0780),
    ("中心公园", 22.5480, 114.0750),
    ("香蜜公园", 22.5460, 114.0240),
    ("福田红树林生态公园", 22.5260, 114.0080),
    ("梅林山郊野公园", 22.5900, 114.0400),
    ("皇岗公园", 22.5300, 114.0640),
)
# Where in the parks the venues stand is made up.
_VENUE_CENTRES = (
    ("智慧零碳展示中心", 22.5473, 114.0252),
    ("自然教育中心", 22.5578, 114.0571),
    ("垃圾分类科普基地", 22.5641, 114.0768),
    ("红树林湿地博物馆", 22.5268, 114.0102),
)


def parks() -> Iterator[Park]:
    """Parks as green spaces (0405), venues among the other things (0501)."""
    for number, (name, lat, lon) in enumerate(_PARK_CENTRES, start=1):
        yield Park(f"{DISTRICT}0405{number:06d}", "0405", name, lon, lat, "公园管理中心")
    for number, (name, lat, lon) in enumerate(_VENUE_CENTRES, start=1):
        yield Park(f"{DISTRICT}0501{number:06d}", "0501", name, lon, lat, _CITY)


def components(count: int, seed: int) -> Iterator[Component]:
    """`count` components along the roads, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - a sample, not a secret
    kinds = chance.choices(KINDS, [kind.share for kind in KINDS], k=count)
    roads = chance.choices(ROADS, [road.length_m for road in ROADS], k=count)
    numbers = dict.fromkeys((kind.code for kind in KINDS), 0)
    for kind, road in zip(kinds, roads, strict=True):
        numbers[kind.code] += 1
        along = chance.uniform(0.02, 0.98)
        aside = chance.uniform(*kind.aside_m) * chance.choice((-1, 1))
        lon, lat = road.at(along, aside)
        house = int(along * road.length_m / 10) * 2 + (1 if aside < 0 else 2)
        day = _FIRST_DAY + dt.timedelta(days=chance.randrange(_DAYS))
        yield Component(
            code=f"{DISTRICT}{kind.code}{numbers[kind.code]:06d}",
            kind=kind.code,
            name=f"{kind.name} {road.name}{house}号",
            lon=round(lon + chance.gauss(0, 0.5) / METRES_PER_DEGREE_LON, 7),
            lat=round(lat + chance.gauss(0, 0.5) / METRES_PER_DEGREE_LAT, 7),
            condition=chance.choices([name for name, _ in _CONDITIONS], [share for _, share in _CONDITIONS])[0],
            material=chance.choice(kind.materials) if kind.materials else "",
            address=f"{road.name}{house}号旁",
            responsible=kind.responsible,
            installed_at=dt.datetime.combine(day, dt.time(), _CHINA).isoformat(),
        )
