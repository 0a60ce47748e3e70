"""Conversions between the datums of Chinese maps, and distances: pure float maths, degrees in and out.

GCJ-02 has no official text; the forward formula is the one every open map library uses (Krasovsky 1940
ellipsoid, published about 2010 and checked against wandergis/coordtransform and googollee/eviltransform).
Baidu's BD-09 is the likewise well-known polar wobble on top of GCJ-02.
"""

import enum
from collections.abc import Callable
from math import asin, atan2, cos, pi, radians, sin, sqrt

EARTH_RADIUS_M = 6_371_008.8
"""Mean earth radius in metres (IUGG R1)."""

# Krasovsky ellipsoid, as the GCJ-02 formula has it: semi-major axis in metres, squared eccentricity.
_AXIS_M = 6_378_245.0
_ECCENTRICITY_2 = 0.00669342162296594323

# The formula's polynomial is written around this point.
_ORIGIN_LON = 105.0
_ORIGIN_LAT = 35.0

# The customary bounding box of mainland China: outside it nothing is shifted.
_WEST, _EAST = 72.004, 137.8347
_SOUTH, _NORTH = 0.8293, 55.8271

_BD_PI = pi * 3000.0 / 180.0
_BD_LON = 0.0065
_BD_LAT = 0.006

# Each step shrinks the error about a hundredfold, so a last step this small (degrees) leaves about 1e-12.
_CONVERGED = 1e-10
_MAX_STEPS = 20

_Shift = Callable[[float, float], tuple[float, float]]


class Datum(enum.StrEnum):
    """What a pair of degrees refers to."""

    WGS84 = "WGS-84"
    GCJ02 = "GCJ-02"
    BD09 = "BD-09"
    CGCS2000 = "CGCS2000"


# How many shifts lie between WGS-84 and the datum. CGCS2000 equals WGS-84 at phone accuracy.
_SHIFTS = {Datum.WGS84: 0, Datum.CGCS2000: 0, Datum.GCJ02: 1, Datum.BD09: 2}


def convert(lon: float, lat: float, source: Datum, target: Datum) -> tuple[float, float]:
    """(longitude, latitude) in degrees of `target` for a point in degrees of `source`.

    Exact to far below 1 cm in both directions anywhere in China; between equal datums (WGS-84 and CGCS2000
    count as equal) the input comes back unchanged bit for bit. Points outside the customary bounding box of
    mainland China, 72.004 to 137.8347 east and 0.8293 to 55.8271 north, are not shifted: GCJ-02 and BD-09 are
    the identity there. The box, not the border, decides, and it decides by the point that is put in, so
    within about 2 km of the box's edge (all of it abroad or at sea) there and back may end beside the start.
    NaN and infinities count as outside and come back unchanged. KeyError where a datum is not a `Datum`.
    """
    have, want = _SHIFTS[source], _SHIFTS[target]
    if have == want:
        return lon, lat
    if have == 0:
        lon, lat = _gcj_of_wgs(lon, lat)
    elif have == 2:
        lon, lat = _gcj_of_bd(lon, lat)
    if want == 0:
        return _wgs_of_gcj(lon, lat)
    if want == 2:
        return _bd_of_gcj(lon, lat)
    return lon, lat


def distance_m(lon1: float, lat1: float, lon2: float, lat2: float) -> float:
    """Great-circle distance in metres between two points in WGS-84 degrees.

    Haversine on a sphere of radius EARTH_RADIUS_M: within 0.6 % of the ellipsoid's distance.
    """
    half_lat = sin(radians(lat2 - lat1) / 2)
    half_lon = sin(radians(lon2 - lon1) / 2)
    haversine = half_lat * half_lat + cos(radians(lat1)) * cos(radians(lat2)) * half_lon * half_lon
    # Rounding may carry opposite points just past 1.
    return 2 * EARTH_RADIUS_M * asin(sqrt(min(1.0, haversine)))


def _in_box(lon: float, lat: float) -> bool:
    return _WEST <= lon <= _EAST and _SOUTH <= lat <= _NORTH


def _gcj_of_wgs(lon: float, lat: float) -> tuple[float, float]:
    return _gcj_shifted(lon, lat) if _in_box(lon, lat) else (lon, lat)


def _wgs_of_gcj(lon: float, lat: float) -> tuple[float, float]:
    return _unshifted(_gcj_shifted, lon, lat) if _in_box(lon, lat) else (lon, lat)


def _bd_of_gcj(lon: float, lat: float) -> tuple[float, float]:
    return _bd_shifted(lon, lat) if _in_box(lon, lat) else (lon, lat)


def _gcj_of_bd(lon: float, lat: float) -> tuple[float, float]:
    return _unshifted(_bd_shifted, lon, lat) if _in_box(lon, lat) else (lon, lat)


def _unshifted(shifted: _Shift, lon: float, lat: float) -> tuple[float, float]:
    """The point that `shifted` carries to (`lon`, `lat`).

    `shifted` is a formula without the box: the jump at the box's edge would make the steps swing.
    """
    near_lon, near_lat = lon, lat
    for _ in range(_MAX_STEPS):
        there_lon, there_lat = shifted(near_lon, near_lat)
        step_lon, step_lat = lon - there_lon, lat - there_lat
        near_lon += step_lon
        near_lat += step_lat
        if abs(step_lon) < _CONVERGED and abs(step_lat) < _CONVERGED:
            break
    return near_lon, near_lat


def _gcj_shifted(lon: float, lat: float) -> tuple[float, float]:
    """The GCJ-02 formula without regard to the box: smooth, defined for all degrees."""
    x, y = lon - _ORIGIN_LON, lat - _ORIGIN_LAT
    xy = 0.1 * x * y
    root = sqrt(abs(x))
    ripple = 20.0 * sin(6.0 * x * pi) + 20.0 * sin(2.0 * x * pi)
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + xy + 0.2 * root
    north += (ripple + 20.0 * sin(y * pi) + 40.0 * sin(y / 3.0 * pi)) * 2.0 / 3.0
    north += (160.0 * sin(y / 12.0 * pi) + 320.0 * sin(y * pi / 30.0)) * 2.0 / 3.0
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + xy + 0.1 * root
    east += (ripple + 20.0 * sin(x * pi) + 40.0 * sin(x / 3.0 * pi)) * 2.0 / 3.0
    east += (150.0 * sin(x / 12.0 * pi) + 300.0 * sin(x / 30.0 * pi)) * 2.0 / 3.0
    # Metres to degrees along the ellipsoid's meridian and parallel at this latitude.
    phi = lat / 180.0 * pi
    sin_phi = sin(phi)
    flat = 1.0 - _ECCENTRICITY_2 * sin_phi * sin_phi
    root_flat = sqrt(flat)
    d_lat = north * 180.0 / (_AXIS_M * (1.0 - _ECCENTRICITY_2) / (flat * root_flat) * pi)
    d_lon = east * 180.0 / (_AXIS_M / root_flat * cos(phi) * pi)
    return lon + d_lon, lat + d_lat


def _bd_shifted(lon: float, lat: float) -> tuple[float, float]:
    """The BD-09 formula without regard to the box."""
    radius = sqrt(lon * lon + lat * lat) + 0.00002 * sin(lat * _BD_PI)
    angle = atan2(lat, lon) + 0.000003 * cos(lon * _BD_PI)
    return radius * cos(angle) + _BD_LON, radius * sin(angle) + _BD_LAT
