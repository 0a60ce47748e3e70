"""Constrained values that several record types share."""

from datetime import datetime
from typing import Annotated

import msgspec

from field_schemas.grid_codes import GRID_PREFIX
from field_schemas.scopes import SCOPE_KEY

_GRID = rf"^{GRID_PREFIX}$(?!\n)"
GridCode = Annotated[str, msgspec.Meta(pattern=_GRID, min_length=15, title="Unit grid code, 15 digits")]
GridPrefix = Annotated[str, msgspec.Meta(pattern=_GRID, title="Grid code or prefix")]
ScopeKey = Annotated[str, msgspec.Meta(pattern=rf"^{SCOPE_KEY}$(?!\n)", title="Department code or case number")]
ShortText = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
LongText = Annotated[str, msgspec.Meta(max_length=10_000)]
ClassCode = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
UserId = Annotated[str, msgspec.Meta(min_length=1, max_length=64, title="User id")]
Time = Annotated[datetime, msgspec.Meta(tz=True)]
