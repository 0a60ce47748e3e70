"""What the benchmark of live pokes counts."""

import uuid

from client_sdk.torture.wire import LoadDevice
from tests.bench.arrivals import Arrivals

_AUTHOR, _OTHER = uuid.UUID(int=1), uuid.UUID(int=2)


def test_an_author_is_no_arrival() -> None:
    """A record counts when others get it, not when its author's device does with something later."""
    arrivals = Arrivals()
    change = LoadDevice("http://nowhere", "load").change("finding", {})
    arrivals.begin(change, _AUTHOR)
    arrivals.note(change.record, _OTHER)
    arrivals.note(change.record, _AUTHOR)
    assert len(arrivals.ms[change.record]) == 1
