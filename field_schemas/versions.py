"""How a record type's versions follow from one another."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Fields = dict[str, Any]
STUMBLES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a step may raise over values that no declaration has checked yet."""


def _unchanged(fields: Fields) -> Fields:
    return fields


class VersionStep(msgspec.Struct, frozen=True):
    """How fields of a type's previous version become those of this one, and back.

    `renamed` are fields that have another name now, old to new. `upgrade` and `downgrade` change values, and know
    all fields by their new names. Both take and give an object of field name to value or operand, whole or partial,
    and leave what they do not know as it is; of a list they keep length and order.
    """

    upgrade: Callable[[Fields], Fields] = _unchanged
    downgrade: Callable[[Fields], Fields] = _unchanged
    renamed: Mapping[str, str] = {}

    def up(self, fields: Fields) -> Fields:
        """Fields of the version before, as this one has them."""
        return self.upgrade(_named(fields, self.renamed))

    def down(self, fields: Fields) -> Fields:
        """Fields of this version, as the one before had them."""
        return _named(self.downgrade(fields), {new: old for old, new in self.renamed.items()})


def _named(fields: Fields, names: Mapping[str, str]) -> Fields:
    return {names.get(name, name): value for name, value in fields.items()} if names else fields
