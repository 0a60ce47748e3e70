"""Grid and component codes, and the grid generated for a district without one."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from field_schemas.grid_codes import (
    EVENT_CLASSES,
    FUTIAN_STREETS,
    MAJORS,
    MAX_STREETS,
    ComponentCode,
    GeneratedGrid,
    GridCode,
    is_grid_prefix,
)
from field_schemas.types.values import GridPrefix
from server.accounts.rules import check_scope
from sync.errors import SyncError

DISTRICT = "440304"
# Futian's bounds, roughly (west, south, east, north).
FUTIAN = (113.98, 22.50, 114.11, 22.62)

digits = st.text("0123456789", min_size=0, max_size=20)


def futian_grid(cell_m: float = 250.0) -> GeneratedGrid:
    """The grid over Futian's bounds."""
    return GeneratedGrid(DISTRICT, *FUTIAN, cell_m)


def square_grid(cells_wide: int, cells_high: int, cell_m: float = 1_000.0) -> GeneratedGrid:
    """A grid at the equator, where a degree is equally long both ways, of so many cells."""
    degree_m = math.pi * 6_371_008.8 / 180
    east, half = 100 + cells_wide * cell_m / degree_m, cells_high * cell_m / degree_m / 2
    return GeneratedGrid(DISTRICT, 100, -half, east, half, cell_m)


def test_grid_code_parts() -> None:
    """A unit grid code holds the codes of district, street and community as its prefixes."""
    code = GridCode.parse("440304001002003")
    assert (code.district, code.street, code.community, code.sequence) == (
        "440304",
        "440304001",
        "440304001002",
        "003",
    )


def test_component_code_parts() -> None:
    """A component code holds district, major, minor and sequence."""
    code = ComponentCode.parse("4403040102000345")
    assert (code.district, code.major, code.minor, code.kind, code.sequence) == (
        "440304",
        "01",
        "02",
        "0102",
        "000345",
    )


def test_codes_print_as_they_were() -> None:
    """str() gives the text back."""
    assert str(GridCode.parse("440304001002003")) == "440304001002003"
    assert str(ComponentCode.parse("4403040102000345")) == "4403040102000345"


def test_equal_codes_are_one_key() -> None:
    """Codes compare and hash by their text."""
    assert len({GridCode.parse("440304001002003"), GridCode.parse("440304001002003")}) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "digits only"),
        ("44030400100200", r"has 15 digits \(6 district \+ 3 street .*\), not 14"),
        ("4403040010020034", "not 16"),
        ("44030400100200x", "digits only"),
        ("44030400100200３", "digits only"),  # full-width three
        ("44030400100200²", "digits only"),
        (" 40304001002003", "digits only"),
        ("940304001002003", "first digit is 1 to 8"),
        ("040304001002003", "first digit is 1 to 8"),
    ],
)
def test_wrong_grid_codes(text: str, reason: str) -> None:
    """A wrong unit grid code is refused with the reason."""
    with pytest.raises(ValueError, match=f"unit grid code .*{reason}"):
        GridCode.parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("440304001002003", r"has 16 digits \(6 district \+ 2 major .*\), not 15"),
        ("44030401020003-5", "digits only"),
        ("0403040102000345", "first digit is 1 to 8"),
    ],
)
def test_wrong_component_codes(text: str, reason: str) -> None:
    """A wrong component code is refused with the reason."""
    with pytest.raises(ValueError, match=f"component code .*{reason}"):
        ComponentCode.parse(text)


def test_error_quotes_little_of_a_hostile_text() -> None:
    """A text of a megabyte is not repeated in the error."""
    with pytest.raises(ValueError, match="digits only") as caught:
        GridCode.parse("x" * 1_000_000)
    assert len(str(caught.value)) < 200


def test_codes_cannot_be_made_unchecked() -> None:
    """The constructor checks as parse does."""
    with pytest.raises(ValueError, match="unit grid code"):
        GridCode("440304")


@pytest.mark.parametrize("text", ["440304", "440304001", "440304001002", "440304001002003"])
def test_grid_prefixes(text: str) -> None:
    """District, street, community and unit grid are grid scopes."""
    assert is_grid_prefix(text)


@pytest.mark.parametrize("text", ["", "4403", "4403040", "44030400100200", "4403040010020034", "44030x", "０40304"])
def test_not_grid_prefixes(text: str) -> None:
    """Other lengths and other characters are no grid scopes."""
    assert not is_grid_prefix(text)


@pytest.mark.parametrize("text", ["440304", "440304001", "940304", "044030", "4403040", "440304\n", "４40304", ""])
def test_one_idea_of_a_grid_prefix(text: str) -> None:
    """A field, a grant's scope and the codes agree on what a grid prefix is."""
    try:
        msgspec.convert(text, GridPrefix)
        as_field = True
    except msgspec.ValidationError:
        as_field = False
    try:
        check_scope(f"grid:{text}")
        as_scope = True
    except SyncError:
        as_scope = False
    assert (as_field, as_scope) == (is_grid_prefix(text),) * 2


@given(digits)
def test_prefix_of_15_digits_is_a_grid_code(text: str) -> None:
    """GridCode accepts exactly the grid scopes of 15 digits."""
    try:
        GridCode.parse(text)
        accepted = True
    except ValueError:
        accepted = False
    assert accepted == (is_grid_prefix(text) and len(text) == 15)


def test_majors_and_event_classes() -> None:
    """The five majors of components and six classes of events, each named in both languages."""
    assert list(MAJORS) == ["01", "02", "03", "04", "05"]
    assert list(EVENT_CLASSES) == ["01", "02", "03", "04", "05", "06"]
    assert MAJORS["01"] == ("公用设施", "Public utilities")
    assert EVENT_CLASSES["01"][0] == "市容环境"
    assert all(zh and en.isascii() for zh, en in (*MAJORS.values(), *EVENT_CLASSES.values()))


def test_futian_streets() -> None:
    """Ten street offices and the bonded zone, each under a nine-digit code of the district."""
    assert len(FUTIAN_STREETS) == 11
    assert all(is_grid_prefix(code) and len(code) == 9 for code in FUTIAN_STREETS)
    assert all(code.startswith(DISTRICT) for code in FUTIAN_STREETS)
    assert FUTIAN_STREETS["440304008"] == ("莲花", "Lianhua")


def test_first_row_of_codes() -> None:
    """Cells count from 001 in the north-west; the fifth column begins the second community."""
    codes = [cell.code for cell in square_grid(32, 16).cells()]
    assert codes[:5] == [
        DISTRICT + rest for rest in ("001001001", "001001002", "001001003", "001001004", "001002001")
    ]


def test_numbers_run_west_to_east_then_north_to_south() -> None:
    """At each level the number below 001 to the south is one row of blocks on."""
    grid = square_grid(32, 32)
    codes = [cell.code for cell in grid.cells()]
    assert codes[32] == DISTRICT + "001001005"
    assert codes[32 * 4] == DISTRICT + "001005001"
    assert codes[16] == DISTRICT + "002001001"
    assert codes[32 * 16] == DISTRICT + "003001001"
    assert codes[-1] == DISTRICT + "004016016"


def test_community_is_16_cells_and_street_16_communities() -> None:
    """A whole street has 256 cells, a whole community 16."""
    codes = [cell.code for cell in square_grid(32, 16).cells()]
    assert sum(code.startswith(DISTRICT + "002") for code in codes) == 256
    assert sum(code.startswith(DISTRICT + "002007") for code in codes) == 16


def test_generated_codes_are_unit_grid_codes() -> None:
    """Every generated code parses, and none comes twice."""
    codes = [cell.code for cell in futian_grid().cells()]
    assert len({GridCode.parse(code) for code in codes}) == len(codes) == len(futian_grid())


def test_cell_sides_in_metres() -> None:
    """Over Futian a cell is 250 m by 250 m at the middle latitude."""
    first = next(futian_grid().cells())
    degree_m = math.pi * 6_371_008.8 / 180
    assert (first.north - first.south) * degree_m == pytest.approx(250)
    assert (first.east - first.west) * degree_m * math.cos(math.radians(22.56)) == pytest.approx(250)


def test_cells_tile_the_bounds() -> None:
    """The cells' areas add up to the bounds', and none reaches beyond."""
    cells = list(futian_grid().cells())
    west, south, east, north = FUTIAN
    area = sum((cell.east - cell.west) * (cell.north - cell.south) for cell in cells)
    assert area == pytest.approx((east - west) * (north - south))
    assert min(cell.west for cell in cells) == west
    assert max(cell.east for cell in cells) == east
    assert min(cell.south for cell in cells) == south
    assert max(cell.north for cell in cells) == north
    assert all(cell.west < cell.east and cell.south < cell.north for cell in cells)


def test_whole_number_of_cells_has_no_sliver() -> None:
    """Bounds that are so many cells but for rounding get exactly so many."""
    for wide in range(1, 60):
        grid = square_grid(wide, 3, 333.3)
        assert (grid.columns, grid.rows) == (wide, 3)


def test_bounds_smaller_than_a_cell() -> None:
    """Tiny bounds are one cell."""
    cells = list(GeneratedGrid(DISTRICT, 114, 22, 114.0001, 22.0001).cells())
    assert [(cell.code, cell.east, cell.south) for cell in cells] == [(DISTRICT + "001001001", 114.0001, 22)]


@given(st.floats(113.98, 114.11), st.floats(22.50, 22.62))
def test_lookup_agrees_with_the_bounds(lon: float, lat: float) -> None:
    """The cell that code_at names holds the point, by the bounds that cells() gives."""
    grid = futian_grid(700)
    (cell,) = (cell for cell in grid.cells() if cell.code == grid.code_at(lon, lat))
    assert cell.west <= lon <= cell.east
    assert cell.south <= lat <= cell.north


@given(
    st.floats(-179, 170),
    st.floats(-80, 79),
    st.floats(0.001, 0.2),
    st.floats(0.001, 0.2),
    st.floats(500, 5_000),
)
def test_corners_belong_to_the_cell_of_their_southeast(
    west: float, south: float, width: float, height: float, cell_m: float
) -> None:
    """Each cell's north-west corner is looked up as that cell, on any grid, despite rounding."""
    grid = GeneratedGrid(DISTRICT, west, south, west + width, south + height, cell_m)
    assert all(grid.code_at(cell.west, cell.north) == cell.code for cell in grid.cells())


@pytest.mark.parametrize("bounds", [FUTIAN, (0, -0.1, 0.1, 0)])
def test_point_just_inside_an_edge(bounds: tuple[float, float, float, float]) -> None:
    """The last float before a cell's east or south edge still belongs to the cell, also where floats are dense."""
    for cell in (grid := GeneratedGrid(DISTRICT, *bounds)).cells():
        assert grid.code_at(math.nextafter(cell.east, cell.west), math.nextafter(cell.south, cell.north)) == cell.code


def test_outer_edge_belongs_to_the_last_cell() -> None:
    """The south-east corner of the bounds lies in the last cell."""
    grid = futian_grid()
    assert grid.code_at(FUTIAN[2], FUTIAN[1]) == list(grid.cells())[-1].code


@pytest.mark.parametrize(
    ("lon", "lat"),
    [(113.97, 22.55), (114.12, 22.55), (114.0, 22.49), (114.0, 22.63), (math.nan, 22.55), (114.0, math.inf)],
)
def test_no_code_outside(lon: float, lat: float) -> None:
    """Points outside the bounds, and what is no point, have no code."""
    assert futian_grid().code_at(lon, lat) is None


def test_most_streets() -> None:
    """999 streets are numbered to the last, 1000 are too many."""
    grid = square_grid(16 * MAX_STREETS, 16, 100)
    assert grid.code_at(grid.east, grid.south) == DISTRICT + "999016016"
    with pytest.raises(ValueError, match="999 streets"):
        square_grid(16 * MAX_STREETS + 1, 16, 100)


@pytest.mark.parametrize("bounds", [FUTIAN, (73.5, 18.2, 135.1, 53.6), (100, 20, 140, 20.01), (100, 0, 100.01, 60)])
@pytest.mark.parametrize("cell_m", [1e-300, 0.5, 5])
def test_the_size_said_to_fit_fits(bounds: tuple[float, float, float, float], cell_m: float) -> None:
    """Where cells are too small, the error names the smallest size in whole metres that fits."""
    with pytest.raises(ValueError, match=r"a cell size of \d+ m fits") as caught:
        GeneratedGrid(DISTRICT, *bounds, cell_m)
    fitting = int(str(caught.value).split()[-3])
    GeneratedGrid(DISTRICT, *bounds, fitting)
    with pytest.raises(ValueError, match="streets"):
        GeneratedGrid(DISTRICT, *bounds, fitting - 1 or 0.5)


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        ((114, 22, 114, 23), "empty"),
        ((114, 22, 113, 23), "empty"),
        ((114, 23, 115, 22), "empty"),
        ((math.nan, 22, 115, 23), "finite"),
        ((114, 22, math.inf, 23), "finite"),
        ((-181, 22, 115, 23), "out of range"),
        ((114, 22, 115, 91), "out of range"),
    ],
)
def test_wrong_bounds(bounds: tuple[float, float, float, float], reason: str) -> None:
    """Bounds that are empty, not finite or out of range are refused."""
    with pytest.raises(ValueError, match=reason):
        GeneratedGrid(DISTRICT, *bounds)


@pytest.mark.parametrize("cell_m", [0.0, -250.0, math.nan, math.inf])
def test_wrong_cell_size(cell_m: float) -> None:
    """A cell size that is no positive length is refused."""
    with pytest.raises(ValueError, match="cell size"):
        futian_grid(cell_m)


@pytest.mark.parametrize("district", ["", "44030", "4403040", "44030x", "940304"])
def test_wrong_district(district: str) -> None:
    """A district code that is no six digits of a region is refused."""
    with pytest.raises(ValueError, match="district code"):
        GeneratedGrid(district, *FUTIAN)
