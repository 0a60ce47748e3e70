"""Constrained values that several record types share."""

from datetime import datetime
from typing import Annotated

import msgspec

GridCode = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{15}$(?!\n)", title="Unit grid code, 15 digits")]
GridPrefix = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{6}([0-9]{3}){0,3}$(?!\n)", title="Grid code or prefix")]
ShortText = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
LongText = Annotated[str, msgspec.Meta(max_length=10_000)]
ClassCode = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
UserId = Annotated[str, msgspec.Meta(min_length=1, max_length=64, title="User id")]
Time = Annotated[datetime, msgspec.Meta(tz=True)]
