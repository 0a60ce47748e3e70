"""How much work ours and the peers do."""

import msgspec

from tests.bench.running import Place

CLIENTS = 8
RECORDS = 10_000
"""How many one pull receives."""


class Bounds(msgspec.Struct, frozen=True):
    """Runs that count; pulls, and pushes of 100 changes, each client makes in one of them."""

    runs: int
    pulls: int
    pushes: int


def bounds(place: Place) -> Bounds:
    """What is done at `place`."""
    return Bounds(1, 1, 3) if place.quick else Bounds(3, 2, 20)
