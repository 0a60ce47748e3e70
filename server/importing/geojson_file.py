"""GeoJSON files (RFC 7946): a FeatureCollection, its features decoded one at a time from the file's bytes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from field_schemas.datum import Datum
from server.importing.problems import ImportFailed
from server.importing.reading import Geometry, Row, Survey, not_opened, not_text

ID_COLUMN = "id"
"""The column under which a feature's own `id` is read, unless a property has that name."""

# What older files name in `crs`, by its last part; RFC 7946 itself knows WGS-84 only.
_CRS_DATUMS = {"CRS84": Datum.WGS84, "4326": Datum.WGS84, "4490": Datum.CGCS2000}


class _CrsName(msgspec.Struct):
    name: str = ""


class _Crs(msgspec.Struct):
    properties: _CrsName = msgspec.field(default_factory=_CrsName)


class _Collection(msgspec.Struct):
    type: str
    features: list[msgspec.Raw] | None = None
    crs: _Crs | None = None


class _Feature(msgspec.Struct):
    type: str
    properties: dict[str, Any] | None = None
    geometry: Geometry | None = None
    id: str | int | float | None = None


_feature = msgspec.json.Decoder(_Feature)


class GeoJsonFile:
    """A FeatureCollection; the file's bytes stay in memory, the decoded features do not."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.path = path
        self.encoding = encoding or "utf-8"
        self._collection: _Collection | None = None

    def survey(self) -> Survey:
        """Property names, number of features, kinds of geometry. Raises ImportFailed for what is no GeoJSON."""
        columns: dict[str, None] = {}
        geometries: set[str] = set()
        count = 0
        for row in self.rows():
            count += 1
            columns.update(dict.fromkeys(row.values))
            if row.geometry:
                geometries.add(row.geometry.type)
        return Survey(list(columns), count, geometries, self._datum())

    def rows(self) -> Iterator[Row]:
        """One row a feature."""
        for number, raw in enumerate(self._read().features or (), start=1):
            try:
                feature = _feature.decode(raw)
            except msgspec.DecodeError as error:
                yield Row(number, {}, fault=str(error))
                continue
            values = feature.properties or {}
            if feature.id is not None:
                values.setdefault(ID_COLUMN, feature.id)
            yield Row(number, values, feature.geometry)

    def _read(self) -> _Collection:
        if self._collection is None:
            try:
                data = self.path.read_bytes()
                self._collection = self._decode(data)
            except OSError as error:
                raise not_opened(self.path, error) from error
        return self._collection

    def _decode(self, data: bytes) -> _Collection:
        name = self.path.name
        try:
            text = data.decode(self.encoding).removeprefix("\ufeff").encode()
            collection = msgspec.json.decode(text, type=_Collection)
        except UnicodeDecodeError as error:
            raise not_text(self.path, self.encoding) from error
        except LookupError as error:
            raise ImportFailed(f"没有 {self.encoding} 这种编码", f"there is no encoding {self.encoding}") from error
        except msgspec.ValidationError as error:
            raise _no_collection(name) from error
        except msgspec.DecodeError as error:
            raise ImportFailed(f"{name} 不是 JSON：{error}", f"{name} is not JSON: {error}") from error
        if collection.type != "FeatureCollection" or collection.features is None:
            raise _no_collection(name)
        return collection

    def _datum(self) -> str | None:
        crs = self._read().crs
        if crs is None or not crs.properties.name:
            return None
        datum = _CRS_DATUMS.get(crs.properties.name.rsplit(":", 1)[-1])
        if datum is None:
            raise ImportFailed(
                f"{self.path.name} 的坐标系 {crs.properties.name} 不支持，请先转换为 WGS-84 经纬度",
                f"{self.path.name} is in {crs.properties.name}: convert it to WGS-84 degrees first",
            )
        return datum


def _no_collection(name: str) -> ImportFailed:
    return ImportFailed(f"{name} 不是 GeoJSON 的 FeatureCollection", f"{name} is not a GeoJSON FeatureCollection")
