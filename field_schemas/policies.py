"""How two concurrent writes of one field come together: declared per field, carried out by `sync.merge`."""

import enum
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Policy(enum.StrEnum):
    """Merge policy of a field (design §2 rule 5)."""

    LAST_WRITER = "last_writer"
    """The later stamp wins; equal stamps by device id."""
    FIRST_WRITER = "first_writer"
    """Set once; of concurrent first values the earlier stamp wins."""
    SERVER_ONLY = "server_only"
    """Only the server's own changes write it."""
    COUNTER = "counter"
    """A change carries a signed difference; all differences add up."""
    SET = "set"
    """A change adds and removes elements; an add wins over a concurrent remove."""
    APPEND = "append"
    """A change carries entries; all are kept, ordered by stamp."""
    MAXIMUM = "maximum"
    """The largest value ever written."""
    MINIMUM = "minimum"
    """The smallest value ever written."""
    WORKFLOW = "workflow"
    """Only transitions of the field's workflow table, from whatever state the record is in by then."""
    REVIEW = "review"
    """Different concurrent values become a conflict for a person."""


COMPOSED = frozenset({Policy.SERVER_ONLY, Policy.SET, Policy.APPEND, Policy.WORKFLOW})
"""Policies under which a field's first value is not simply the first operand, or is not everyone's to give."""


class SetOperand(msgspec.Struct, Generic[T], forbid_unknown_fields=True, omit_defaults=True):
    """What a change carries for a `set` field: elements to add and to remove."""

    add: list[T] = []
    remove: list[T] = []
