"""How much of a file goes into one request: as much as the network carries in a few seconds. Pure."""

_FIRST = 256 * 1024
SMALLEST = 64 * 1024
LARGEST = 8 * 1024 * 1024
_SECONDS = 4.0
"""A chunk is to take so long: short enough that records and more urgent files get their turn, and that a cut costs
little; long enough that asking and answering do not count."""


class Pace:
    """Follows the network: chunks double at most from one to the next, and become small at a cut."""

    def __init__(self) -> None:
        self.chunk_bytes = _FIRST

    def sent(self, size: int, seconds: float) -> None:
        """Take note of `size` bytes that were acknowledged after `seconds`."""
        if size < self.chunk_bytes and seconds < _SECONDS:
            # The end of a file tells little.
            return
        fitting = size / max(seconds, 0.001) * _SECONDS
        self.chunk_bytes = round(min(max(fitting, SMALLEST), 2 * self.chunk_bytes, LARGEST))

    def cut(self) -> None:
        """Take note of a request that never ended."""
        self.chunk_bytes = max(self.chunk_bytes // 4, SMALLEST)
