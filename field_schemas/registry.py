"""The record types a process knows."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from field_schemas.record import FieldError, Record, RecordType, type_of

STANDARD_TYPES = "field_schemas.types"


class Registry:
    """Record types by name. Raises ValueError when two types share a name."""

    def __init__(self, classes: Iterable[type[Record]]) -> None:
        self._types: dict[str, RecordType[Any]] = {}
        for cls in classes:
            spec = type_of(cls)
            if spec.name in self._types:
                raise ValueError(f"two record types are named {spec.name!r}")
            self._types[spec.name] = spec
        self.forms = {spec.name: spec.form for spec in self}
        """The form (`RecordType.form`) of each type."""

    def __iter__(self) -> Iterator[RecordType[Any]]:
        return iter(self._types.values())

    def __contains__(self, name: str) -> bool:
        return name in self._types

    def get(self, name: str) -> RecordType[Any]:
        """The type called `name`. Raises FieldError `type_unknown`."""
        try:
            return self._types[name]
        except KeyError:
            raise FieldError("type_unknown", f"there is no record type {name!r}") from None


def load_types(*packages: str) -> Registry:
    """The registry of all types declared in the modules of STANDARD_TYPES and of the named `packages`.

    A new type needs nothing but a module there. Raises ImportError for a package that does not exist.
    """
    modules = [module for package in (STANDARD_TYPES, *packages) for module in _modules_in(package)]
    return Registry(cls for module in modules for cls in _declared_in(module))


def _modules_in(package: str) -> Iterator[ModuleType]:
    root = importlib.import_module(package)
    yield root
    for info in pkgutil.iter_modules(getattr(root, "__path__", ())):
        yield importlib.import_module(f"{package}.{info.name}")


def _declared_in(module: ModuleType) -> Iterator[type[Record]]:
    for _, cls in inspect.getmembers(module, inspect.isclass):
        if issubclass(cls, Record) and cls.__module__ == module.__name__ and "__record_type__" in cls.__dict__:
            yield cls
