"""Cells of a file into values of a field's type. A cell is text (CSV) or a JSON value (GeoJSON).

Results are plain values as JSON has them; the record type itself checks them in full afterwards. None means that
the cell says nothing.
"""

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import inspect

from server.importing.problems import RowProblem
from server.place_fields import bare_type

Convert = Callable[[Any], Any]

_TRUE = frozenset({"true", "yes", "y", "t", "1", "是", "有"})
_FALSE = frozenset({"false", "no", "n", "f", "0", "否", "无"})
_LIST_MARK = ";"
_MILLISECONDS_FROM = 100_000_000_000
"""Unix times from here on count milliseconds, as ArcGIS writes them; as seconds this is the year 5138."""


def converter(name: str, kind: inspect.Type, states: tuple[str, ...], zone: dt.tzinfo | None) -> Convert:
    """What turns a cell into a value of field `name`. It raises RowProblem `value_invalid`.

    `states` are the words a workflow field takes, `zone` is where times without a zone were written.
    """
    inner = bare_type(kind)
    if states:
        return _words(name, states)
    if isinstance(inner, inspect.LiteralType):
        return _words(name, tuple(str(value) for value in inner.values))
    if isinstance(inner, inspect.EnumType):
        return _words(name, tuple(str(member.value) for member in inner.cls))
    if isinstance(inner, inspect.StrType):
        return _text("" if inner is kind and not inner.min_length and not inner.pattern else None)
    if isinstance(inner, inspect.DateTimeType):
        return _time(name, zone)
    if isinstance(inner, inspect.ListType):
        return _list(name, converter(name, inner.item_type, (), zone))
    return _SIMPLE.get(type(inner), _structure)(name)


def invalid(field: str, value: Any, wanted_zh: str, wanted_en: str) -> RowProblem:
    """The problem of a cell that is not what the field takes."""
    shown = str(value)[:60]
    return RowProblem(field, "value_invalid", f"“{shown}” 不是{wanted_zh}", f"{shown!r} is not {wanted_en}")


def is_empty(value: Any) -> bool:
    """Whether a cell says nothing."""
    return value is None or (isinstance(value, str) and not value.strip())


def as_text(value: Any) -> str:
    """A cell as text; a number that is whole has no decimal point, as GIS programs add one to identifiers."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (dict, list)):
        return msgspec.json.encode(value).decode()
    return str(value)


def number(name: str) -> Convert:
    """Degrees, metres, ...: the nearest binary number, as every reader of decimals gives it."""

    def convert(value: Any) -> Any:
        if is_empty(value):
            return None
        try:
            real = float(value)
        except (TypeError, ValueError, OverflowError):
            real = math.nan
        if not math.isfinite(real):
            raise invalid(name, value, "数字", "a number")
        return real

    return convert


def _text(empty: str | None) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is str:
            return value.strip() or empty
        return empty if value is None else as_text(value)

    return convert


def _words(name: str, words: tuple[str, ...]) -> Convert:
    known = {word.lower(): word for word in words} | {word: word for word in words}

    def convert(value: Any) -> Any:
        if is_empty(value):
            return None
        text = as_text(value)
        found = known.get(text) or known.get(text.lower())
        if found is None:
            raise invalid(name, value, f"以下之一：{'、'.join(words)}", f"one of {', '.join(words)}")
        return found

    return convert


def _integer(name: str) -> Convert:
    def convert(value: Any) -> Any:
        if is_empty(value):
            return None
        try:
            return int(as_text(value))
        except ValueError:
            pass
        try:
            real = float(value)
        except (TypeError, ValueError, OverflowError):
            real = math.nan
        if not real.is_integer():
            raise invalid(name, value, "整数", "a whole number")
        return int(real)

    return convert


def _boolean(name: str) -> Convert:
    def convert(value: Any) -> Any:
        if is_empty(value):
            return None
        word = as_text(value).lower()
        if word not in _TRUE | _FALSE:
            raise invalid(name, value, "是或否（true/false）", "true or false")
        return word in _TRUE

    return convert


def _time(name: str, zone: dt.tzinfo | None) -> Convert:
    def convert(value: Any) -> Any:
        if is_empty(value):
            return None
        try:
            moment = _moment(value)
        except (ValueError, OverflowError, OSError):
            raise invalid(name, value, "时间（如 2026-11-20T08:30:00+08:00）", "a time as in ISO 8601") from None
        if moment.tzinfo is None:
            if zone is None:
                raise invalid(
                    name, value, "带时区的时间；请加 --timezone", "a time with its zone: name it by --timezone"
                )
            moment = moment.replace(tzinfo=zone)
        return moment.astimezone(dt.UTC).isoformat()

    return convert


def _moment(value: Any) -> dt.datetime:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = value / 1000 if abs(value) >= _MILLISECONDS_FROM else value
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    text = as_text(value)
    return dt.datetime.fromisoformat(text[:10].replace("/", "-") + text[10:])


def _list(name: str, element: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if is_empty(value):
            return None
        if isinstance(value, str):
            value = _json(name, value) if value.lstrip().startswith("[") else value.split(_LIST_MARK)
        if not isinstance(value, list):
            raise invalid(name, value, "列表", "a list")
        return [item for item in map(element, value) if item is not None]

    return convert


def _structure(name: str) -> Convert:
    def convert(value: Any) -> Any:
        if is_empty(value):
            return None
        return _json(name, value) if isinstance(value, str) and value.lstrip()[:1] in "[{" else value

    return convert


def _json(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise invalid(name, text, "合格的 JSON", "proper JSON") from None


_SIMPLE: dict[type[inspect.Type], Callable[[str], Convert]] = {
    inspect.IntType: _integer,
    inspect.FloatType: number,
    inspect.BoolType: _boolean,
    inspect.UUIDType: lambda _name: _text(None),
    inspect.BytesType: lambda _name: _text(None),
}
