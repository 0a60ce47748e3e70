"""Datum conversions: published pairs, exact round trips, and what happens outside China."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from field_schemas.datum import EARTH_RADIUS_M, Datum, convert, distance_m

FUTIAN = (114.059, 22.541)
CENTIMETRE = 0.01

# WGS-84 and GCJ-02 (lon, lat): eviltransform's test data (Shanghai, Shenzhen, Beijing) and
# coordtransform's README, which anyone may recompute.
WGS_GCJ = [
    ((121.5272106, 31.1774276), (121.531541859215, 31.17530398364597)),
    ((113.912316, 22.543847), (113.9171764808363, 22.540796131694766)),
    ((116.377817, 39.911954), (116.38404722455657, 39.91334545536069)),
    ((116.404, 39.915), (116.41024449916938, 39.91640428150164)),
]
# GCJ-02 and BD-09 from coordtransform's README.
GCJ, BD = (116.404, 39.915), (116.41036949371029, 39.92133699351021)
# WGS-84 and BD-09 from the same family of libraries.
WGS, BD_OF_WGS = (116.404, 39.915), (116.41662724378733, 39.922699552216216)

SHIFTED = [Datum.GCJ02, Datum.BD09]
UNSHIFTED = [Datum.WGS84, Datum.CGCS2000]

points_of_futian = st.tuples(st.floats(113.98, 114.11), st.floats(22.50, 22.62))
# Mainland and coastal waters; Futian's neighbours to the ends of the country.
points_of_china = st.tuples(st.floats(73.4, 135.1), st.floats(3.8, 53.6))
datums = st.sampled_from(list(Datum))


def _there_and_back(point: tuple[float, float], source: Datum, target: Datum) -> float:
    """Metres between the point and where it comes back to."""
    back = convert(*convert(*point, source, target), target, source)
    return distance_m(*point, *back)


@pytest.mark.parametrize(("wgs", "gcj"), WGS_GCJ)
def test_published_gcj_pairs(wgs: tuple[float, float], gcj: tuple[float, float]) -> None:
    """WGS-84 becomes GCJ-02 as published, to 12 decimals."""
    assert convert(*wgs, Datum.WGS84, Datum.GCJ02) == pytest.approx(gcj, abs=1e-12)


@pytest.mark.parametrize(("wgs", "gcj"), WGS_GCJ)
def test_published_gcj_pairs_backwards(wgs: tuple[float, float], gcj: tuple[float, float]) -> None:
    """The published GCJ-02 positions lead back to their WGS-84 positions to 1e-10 degrees."""
    assert convert(*gcj, Datum.GCJ02, Datum.WGS84) == pytest.approx(wgs, abs=1e-10)


def test_published_bd_pair() -> None:
    """GCJ-02 becomes BD-09 as published, and the same pair holds backwards."""
    assert convert(*GCJ, Datum.GCJ02, Datum.BD09) == pytest.approx(BD, abs=1e-12)
    assert convert(*BD, Datum.BD09, Datum.GCJ02) == pytest.approx(GCJ, abs=1e-10)


def test_published_wgs_bd_pair() -> None:
    """WGS-84 becomes BD-09 by way of GCJ-02 as published, and the same pair holds backwards."""
    assert convert(*WGS, Datum.WGS84, Datum.BD09) == pytest.approx(BD_OF_WGS, abs=1e-12)
    assert convert(*BD_OF_WGS, Datum.BD09, Datum.WGS84) == pytest.approx(WGS, abs=1e-10)


def test_gcj_is_about_600_m_away_in_futian() -> None:
    """In Futian GCJ-02 lies about 600 m to the south-east of WGS-84."""
    lon, lat = convert(*FUTIAN, Datum.WGS84, Datum.GCJ02)
    assert lon > FUTIAN[0]
    assert lat < FUTIAN[1]
    assert distance_m(*FUTIAN, lon, lat) == pytest.approx(600, abs=30)


@given(points_of_futian, datums, datums)
def test_round_trips_in_futian(point: tuple[float, float], source: Datum, target: Datum) -> None:
    """Any datum to any other and back ends less than 1 cm from the start all over Futian."""
    assert _there_and_back(point, source, target) < CENTIMETRE


@given(points_of_china, datums, datums)
def test_round_trips_in_china(point: tuple[float, float], source: Datum, target: Datum) -> None:
    """Any datum to any other and back ends less than 1 cm from the start all over China."""
    assert _there_and_back(point, source, target) < CENTIMETRE


@given(points_of_china)
def test_inverse_is_converged(point: tuple[float, float]) -> None:
    """The inverse of BD-09 over both shifts is off by at most 1e-10 degrees."""
    assert convert(*convert(*point, Datum.WGS84, Datum.BD09), Datum.BD09, Datum.WGS84) == pytest.approx(
        point, abs=1e-10
    )


def test_inverse_beside_the_kink() -> None:
    """The formula's kink at 105 degrees east does not keep the inverse from converging."""
    for step in range(-5, 6):
        point = (105.0 + step * 1e-13, 35.0)
        assert _there_and_back(point, Datum.WGS84, Datum.BD09) < CENTIMETRE


@given(points_of_china, datums)
def test_same_datum_is_unchanged(point: tuple[float, float], datum: Datum) -> None:
    """A datum to itself returns the input bit for bit."""
    assert convert(*point, datum, datum) == point


@given(points_of_china)
def test_cgcs2000_equals_wgs84(point: tuple[float, float]) -> None:
    """CGCS2000 and WGS-84 are the same numbers, bit for bit, and shift alike."""
    assert convert(*point, Datum.CGCS2000, Datum.WGS84) == point
    assert convert(*point, Datum.WGS84, Datum.CGCS2000) == point
    assert convert(*point, Datum.CGCS2000, Datum.GCJ02) == convert(*point, Datum.WGS84, Datum.GCJ02)


@pytest.mark.parametrize("target", SHIFTED)
@pytest.mark.parametrize(
    "place", [(-0.1276, 51.5072), (139.69, 35.69), (151.2, -33.87), (-122.4, 37.8), (0.0, 0.0), (180.0, 90.0)]
)
def test_outside_china_is_identity(place: tuple[float, float], target: Datum) -> None:
    """Outside the customary box neither GCJ-02 nor BD-09 shifts, in either direction."""
    assert convert(*place, Datum.WGS84, target) == place
    assert convert(*place, target, Datum.WGS84) == place


@pytest.mark.parametrize("edge", [(72.004, 30.0), (137.8347, 30.0), (100.0, 0.8293), (100.0, 55.8271)])
@given(nudge=st.tuples(st.floats(-0.03, 0.03), st.floats(-0.03, 0.03)), source=datums, target=datums)
def test_box_edge_does_not_diverge(
    edge: tuple[float, float], nudge: tuple[float, float], source: Datum, target: Datum
) -> None:
    """Around the edge of the box every conversion stays within 2 km of its input."""
    point = (edge[0] + nudge[0], edge[1] + nudge[1])
    assert distance_m(*point, *convert(*point, source, target)) < 2_000


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("source", list(Datum))
def test_not_finite_is_unchanged(value: float, source: Datum) -> None:
    """NaN and infinities come back unchanged instead of raising or looping."""
    lon, lat = convert(value, 22.5, source, Datum.GCJ02)
    assert lon == pytest.approx(value, nan_ok=True)
    assert lat == 22.5


def test_unknown_datum() -> None:
    """A misspelt datum raises instead of being taken for WGS-84."""
    with pytest.raises(KeyError):
        convert(*FUTIAN, "GCJ02", Datum.WGS84)  # type: ignore[arg-type]


def test_datum_names() -> None:
    """The names that go over the wire."""
    assert [str(datum) for datum in Datum] == ["WGS-84", "GCJ-02", "BD-09", "CGCS2000"]


def test_distance_of_a_degree_of_latitude() -> None:
    """One degree along a meridian is a 360th of the sphere's circumference."""
    assert distance_m(114, 22, 114, 23) == pytest.approx(2 * math.pi * EARTH_RADIUS_M / 360)


def test_distance_of_a_degree_of_longitude() -> None:
    """At 60 degrees north a degree of longitude is about half as long as at the equator."""
    assert distance_m(10, 60, 11, 60) == pytest.approx(distance_m(10, 0, 11, 0) / 2, rel=1e-4)


def test_distance_across_the_date_line() -> None:
    """The distance takes the short way across the 180th meridian."""
    assert distance_m(179.5, 0, -179.5, 0) == pytest.approx(distance_m(0, 0, 1, 0))


def test_distance_of_antipodes() -> None:
    """Opposite points are half a circumference apart, also where rounding carries the haversine past 1."""
    assert distance_m(-152.0, -4.076545, 28.0, 4.076545) == pytest.approx(math.pi * EARTH_RADIUS_M)


def test_distance_of_a_small_step() -> None:
    """A step of a millionth of a degree is 11 cm, not lost to rounding."""
    assert distance_m(114.059, 22.541, 114.059, 22.541001) == pytest.approx(0.1112, abs=1e-4)


@given(points_of_china, points_of_china)
def test_distance_is_symmetric(one: tuple[float, float], other: tuple[float, float]) -> None:
    """There is as far as back."""
    assert distance_m(*one, *other) == pytest.approx(distance_m(*other, *one))
