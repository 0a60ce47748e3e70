"""What the API description says of an operation, written beside its handler."""

from typing import Any

import msgspec

from field_schemas.labels import Label

OPERATION = "operation"
"""The key of a handler's `opt` under which its description stands."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation: `request` and `response` are structs, `codes` the errors it can answer with.

    `example` and `answer_example` are bodies as JSON values. `proof` and `token` say what the call must carry.
    """

    tag: Label
    summary: Label
    status: int = 200
    request: type[msgspec.Struct] | None = None
    response: Any = None
    codes: tuple[str, ...] = ()
    example: Any = None
    answer_example: Any = None
    proof: bool = False
    token: bool = False


def described(operation: Operation) -> dict[str, Any]:
    """The `opt` of a handler."""
    return {OPERATION: operation}
