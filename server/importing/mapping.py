"""A mapping says where each field of a record type comes from: a column, a template, a constant, a value table.

type = "finding"
source = "requests"
key = "ID"

[fields]                      # field = "Column", or a template of columns
text = "{KIND} {STREET}"
"place.lon" = "X"

[set]                         # field = constant
kind = "0102"

[values.state]                # what the column says = what the field takes; "*" is for everything else
OPEN = "reported"
"*" = "closed"
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from server.importing.problems import ImportFailed

OTHERWISE = "*"
Constant = str | int | float | bool


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """See the module's docstring. Names of fields may be dotted: `place.lon`, `place.datum`."""

    type: str | None = None
    source: str | None = None
    key: str | None = None
    datum: str | None = None
    timezone: str | None = None
    encoding: str | None = None
    fields: dict[str, str] = {}
    set: dict[str, Constant] = {}
    values: dict[str, dict[str, Constant]] = {}


def read_mapping(path: Path) -> Mapping:
    """The mapping in a TOML file. Raises ImportFailed."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8-sig")), Mapping)
    except OSError as error:
        raise ImportFailed(
            f"无法打开映射文件 {path}：{error.strerror}", f"cannot open the mapping {path}: {error.strerror}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ImportFailed(f"映射文件 {path} 有误：{error}", f"the mapping {path} is wrong: {error}") from error


def with_options(mapping: Mapping, maps: Iterable[str], sets: Iterable[str]) -> Mapping:
    """The mapping with `field=Column` and `field=value` pairs of the command line over it. Raises ImportFailed."""
    columns = dict(_pair(text, "--map") for text in maps)
    constants: dict[str, Constant] = dict(_pair(text, "--set") for text in sets)
    return msgspec.structs.replace(
        mapping,
        fields={name: column for name, column in mapping.fields.items() if name not in constants} | columns,
        set={name: value for name, value in mapping.set.items() if name not in columns} | constants,
    )


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ImportFailed(f"{option} 应写作 字段=值，而不是 {text!r}", f"{option} takes field=value, not {text!r}")
    return name.strip(), value
