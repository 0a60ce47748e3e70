"""Record types: one declaration gives fields, labels, merge policies, scopes, access, workflow and place.

A type is a subclass of `Record` under the `record_type` decorator; each field is
`name: Annotated[type, Field("中文", "English", policy)]`, with `msgspec.Meta` constraints where wanted:

    @record_type("note", zh="备注", en="Note", scopes=(in_grid("grid"),), access=Access(read=FIELD_WORKERS, ...))
    class Note(Record):
        grid: Annotated[GridPrefix, Field("网格", "Grid")]
        text: Annotated[str, Field("内容", "Text", Policy.REVIEW, searchable=True)]
"""

import typing
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from field_schemas.access import Access, Role
from field_schemas.labels import Label
from field_schemas.places import Area, Position
from field_schemas.policies import COMPOSED, Policy, SetOperand
from field_schemas.scopes import ScopeRule, scopes_of
from field_schemas.versions import STUMBLES, VersionStep
from field_schemas.workflow import Workflow

NO_ID = uuid.UUID(int=0)
MAX_COUNTER_STEP = 2**31
_TOLD = (Policy.REVIEW, Policy.WORKFLOW, Policy.FIRST_WRITER)
"""Policies that tell people what stands."""
R = TypeVar("R", bound="Record")
V = TypeVar("V")


class Record(msgspec.Struct, kw_only=True):
    """Base of all record types. `id` and `version` are given by the store, not by the type's author."""

    id: uuid.UUID = NO_ID
    version: int = 0


class Field(msgspec.Struct, frozen=True):
    """What a field is beyond its Python type.

    `check` raises ValueError for a value that the Python type cannot tell to be wrong.
    `read` and `write` narrow the type's access for this one field; a field with `read` must have a default,
    because some receive the record without it. `since` is the type's version that brought the field or its `read`:
    servers of an earlier one, which would show it to everybody, leave records alone that may hold it.
    """

    zh: str
    en: str
    policy: Policy = Policy.LAST_WRITER
    workflow: Workflow | None = None
    read: frozenset[Role] | None = None
    write: frozenset[Role] | None = None
    searchable: bool = False
    since: int | None = None
    check: Callable[[Any], object] | None = None

    @property
    def label(self) -> Label:
        """The field's name in both languages."""
        return Label(self.zh, self.en)


class FieldError(Exception):
    """A change's fields break the type's declaration: `code` from the catalogue, `detail` says where."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class RecordType(Generic[R]):
    """A declared record type with everything derived from its declaration."""

    def __init__(
        self,
        cls: type[R],
        name: str,
        label: Label,
        version: int,
        steps: Mapping[int, VersionStep],
        scopes: tuple[ScopeRule, ...],
        access: Access,
        place: str | None,
        title: str | None,
    ) -> None:
        self.cls = cls
        self.name = name
        self.label = label
        self.version = version
        self.steps = steps
        self.scope_rules = scopes
        self.access = access
        self.place = place
        self.title = title
        hints = typing.get_type_hints(cls, include_extras=True)
        self.fields: dict[str, Field] = {}
        self._declared: list[msgspec.structs.FieldInfo] = []
        self.required: frozenset[str] = frozenset(info.name for info in msgspec.structs.fields(cls) if info.required)
        self.defaults: dict[str, Any] = {}
        operands: list[tuple[str, Any, Any]] = []
        for info in msgspec.structs.fields(cls):
            if info.name in Record.__struct_fields__:
                continue
            self._declared.append(info)
            self.fields[info.name] = declared = _declared_field(cls, info.name, hints[info.name])
            if declared.read is not None and info.required:
                raise TypeError(f"{cls.__name__}.{info.name}: a field not everyone may read needs a default")
            if not info.required:
                self.defaults[info.name] = msgspec.to_builtins(_default(info))
            operand = _operand_type(declared.policy, hints[info.name])
            operands.append((info.name, operand | msgspec.UnsetType, msgspec.UNSET))
        self.form = max(1, *steps, *(f.since or 1 for f in self.fields.values()))
        """The version since which fields look as they do now: later ones only added fields for all who may read."""
        self.assigned = next((rule.field for rule in scopes if rule.assigned), None)
        self.scope_fields = frozenset(rule.field for rule in scopes if rule.field)
        self.initial_states = {
            name: self.defaults[name] for name, f in self.fields.items() if f.policy is Policy.WORKFLOW
        }
        self.composed_fields = frozenset(name for name, f in self.fields.items() if f.policy in COMPOSED)
        self._check_declaration()
        self.patch_type = msgspec.defstruct(
            f"{cls.__name__}Patch", operands, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
        )
        self._from_json = msgspec.json.Decoder(self.patch_type)
        self._from_msgpack = msgspec.msgpack.Decoder(self.patch_type)
        self._typed = msgspec.msgpack.Decoder(cls)
        self.reserved_fields = frozenset(name for name, f in self.fields.items() if f.write is not None)
        self.limited_fields = frozenset(name for name, f in self.fields.items() if f.read is not None)
        self.checked = {name: f.check for name, f in self.fields.items() if f.check is not None}
        self.searchable = tuple(name for name, f in self.fields.items() if f.searchable)

    def _check_declaration(self) -> None:
        for name in (*self.scope_fields, self.place, self.title):
            if name is not None and name not in self.fields:
                raise TypeError(f"record type {self.name!r} has no field {name!r}")
        if not all(2 <= step <= self.version for step in self.steps):
            raise TypeError(
                f"record type {self.name!r} is at version {self.version}, its steps are {list(self.steps)}"
            )
        for name, declared in self.fields.items():
            self._check_since(name, declared)
            if declared.policy in _TOLD and declared.read is not None:
                raise TypeError(f"{self.name}.{name}: a conflict or refusal would show a field not everyone may read")
            table = declared.workflow
            if (declared.policy is Policy.WORKFLOW) != (table is not None):
                raise TypeError(f"{self.name}.{name}: policy and table `workflow` go together")
            if table is not None and self.initial_states[name] not in table.initial:
                raise TypeError(f"{self.name}.{name}: by its workflow no record begins as its default")

    def _check_since(self, name: str, declared: Field) -> None:
        if declared.since is not None and (declared.read is None or not 1 <= declared.since <= self.version):
            raise TypeError(f"{self.name}.{name}: `since` is the version, up to {self.version}, that brought `read`")
        if declared.read is not None and declared.since is None and self.version > 1:
            raise TypeError(f"{self.name}.{name}: say since which version not everybody may read it")

    def canonical_patch(self, raw: bytes | memoryview, *, as_json: bool) -> bytes:
        """The MessagePack of a change's fields, checked against the declaration.

        `raw` is an object of field name to operand (see `Policy`), in JSON or MessagePack. Unset fields are left
        out, values are in canonical form. Raises FieldError `field_unknown` or `value_invalid`.
        """
        try:
            patch = (self._from_json if as_json else self._from_msgpack).decode(raw)
        except msgspec.ValidationError as error:
            code = "field_unknown" if "unknown field" in str(error) else "value_invalid"
            raise FieldError(code, str(error)) from error
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise FieldError("value_invalid", str(error)) from error
        try:
            for name in self.checked:
                if (value := getattr(patch, name)) is not msgspec.UNSET:
                    self.checked[name](value)
            return msgspec.msgpack.encode(patch)
        except (OverflowError, ValueError) as error:
            raise FieldError("value_invalid", str(error)) from error

    def upgraded(self, fields: dict[str, Any], version: int) -> dict[str, Any]:
        """Fields in the form of `version`, as this version has them.

        Raises FieldError `value_invalid` for values that no such version had.
        """
        try:
            for step in self._steps_since(version):
                fields = step.up(fields)
        except STUMBLES as error:
            raise FieldError("value_invalid", f"{self.name} of version {version}: {error!r}") from error
        return fields

    def downgraded(self, fields: dict[str, Any], version: int) -> dict[str, Any]:
        """Fields as a client that knows the type at `version` has them."""
        for step in reversed(self._steps_since(version)):
            fields = step.down(fields)
        return fields

    def renamed(self, by_name: dict[str, V], version: int) -> dict[str, V]:
        """What is kept by field names of `version`, by the names of this version."""
        for step in self._steps_since(version):
            by_name = {step.renamed.get(name, name): value for name, value in by_name.items()}
        return by_name

    def _steps_since(self, version: int) -> list[VersionStep]:
        return [self.steps[step] for step in sorted(self.steps) if step > version]

    def patch(self, values: Mapping[str, Any]) -> bytes:
        """`canonical_patch` of Python values, for changes made on this side."""
        try:
            encoded = msgspec.msgpack.encode(dict(values))
        except (TypeError, OverflowError, ValueError) as error:
            raise FieldError("value_invalid", str(error)) from error
        return self.canonical_patch(encoded, as_json=False)

    def patch_of(self, record: R) -> bytes:
        """The patch that creates `record`: its fields that differ from their defaults."""
        values: dict[str, Any] = {}
        for info in self._declared:
            value = getattr(record, info.name)
            if info.required or value != _default(info):
                values[info.name] = _as_operand(self.fields[info.name].policy, value)
        return self.patch(values)

    def typed(self, body: bytes, record_id: uuid.UUID, version: int) -> R:
        """The record whose fields are the MessagePack object `body`; fields this side does not know are left out."""
        record = self._typed.decode(body)
        record.id = record_id
        record.version = version
        return record

    def scopes(self, fields: Mapping[str, Any], owner: str | None) -> tuple[str, ...]:
        """The scopes of a record with these fields, owned by user `owner`."""
        return scopes_of(self.scope_rules, fields, owner)

    def position(self, fields: Mapping[str, Any]) -> tuple[float, float] | None:
        """WGS-84 (lon, lat) of a record with these (decoded, untyped) fields, None where it has no place."""
        value = fields.get(self.place) if self.place else None
        if value is None:
            return None
        place = msgspec.convert(value, Area) if "rings" in value else msgspec.convert(value, Position)
        return place.wgs84()

    def text_of(self, fields: Mapping[str, Any]) -> str:
        """All searchable text of a record, for local search."""
        return " ".join(str(fields[name]) for name in self.searchable if fields.get(name))

    def readable_fields(self, roles: Iterable[Role]) -> frozenset[str] | None:
        """Which fields `roles` may read; None means all of them."""
        if not self.limited_fields:
            return None
        held = frozenset(roles)
        hidden = frozenset(name for name in self.limited_fields if not held & (self.fields[name].read or frozenset()))
        if not hidden or Role.SYSTEM in held:
            return None
        return frozenset(self.fields) - hidden


def record_type(
    name: str,
    *,
    zh: str,
    en: str,
    scopes: tuple[ScopeRule, ...],
    access: Access,
    version: int = 1,
    steps: Mapping[int, VersionStep] | None = None,
    place: str | None = None,
    title: str | None = None,
) -> Callable[[type[R]], type[R]]:
    """Declare a record type (class decorator).

    `steps` say, for a version, how it differs from the one before; one that only added fields needs none. Steps stay
    for ever: the log keeps changes in the form they had.
    `place` names the field holding a `Position` or `Area`, `title` the field that names a record to a person.
    Raises TypeError at import when the declaration contradicts itself.
    """

    def declare(cls: type[R]) -> type[R]:
        spec = RecordType(cls, name, Label(zh, en), version, steps or {}, scopes, access, place, title)
        cls.__record_type__ = spec  # type: ignore[attr-defined]
        return cls

    return declare


def type_of(cls: type[R]) -> RecordType[R]:
    """The declaration of a record class. Raises TypeError for a class that was not declared."""
    spec = cls.__dict__.get("__record_type__")
    if not isinstance(spec, RecordType):
        raise TypeError(f"{cls.__name__} is not declared with @record_type")
    return spec


def _declared_field(cls: type, name: str, hint: Any) -> Field:
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, Field):
            return extra
    raise TypeError(f"{cls.__name__}.{name} needs Annotated[..., Field(...)]")


def _operand_type(policy: Policy, hint: Any) -> Any:
    """The type a change carries for a field: the value itself, except for counters and sets."""
    if policy is Policy.COUNTER:
        return Annotated[int, msgspec.Meta(ge=-MAX_COUNTER_STEP, le=MAX_COUNTER_STEP)]
    if policy is Policy.SET:
        (element,) = typing.get_args(typing.get_args(hint)[0])
        return SetOperand[element]  # type: ignore[valid-type]
    return hint


def _as_operand(policy: Policy, value: Any) -> Any:
    return SetOperand(add=list(value)) if policy is Policy.SET else value


def _default(info: msgspec.structs.FieldInfo) -> Any:
    return info.default if info.default is not msgspec.NODEFAULT else info.default_factory()
