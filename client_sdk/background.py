"""When to sync next: after a rest, and backing off with jitter while the network is bad. Pure but for the loop."""

from collections.abc import Awaitable, Callable

from client_sdk.errors import Offline, Wiped
from sync.ids import RandomBytes

_FIRST_S = 1.0
_LONGEST_S = 300.0
LONGEST_ASKED_S = 900.0
"""No server has reason to ask for more; a device that obeyed would be lost to the field."""


def backoff_s(
    failures: int, random_bytes: RandomBytes, retry_after_s: float | None, longest_asked_s: float = LONGEST_ASKED_S
) -> float:
    """Seconds to wait after `failures` (>= 1) in a row: exponential with full jitter.

    A server that asked for `retry_after_s` has reckoned when it will have time: the jitter that comes on top is then
    no longer than that. It is obeyed for `longest_asked_s` at most.
    """
    ceiling = min(_LONGEST_S, _FIRST_S * 2.0 ** min(failures - 1, 16))
    if retry_after_s is not None:
        retry_after_s = min(retry_after_s, longest_asked_s)
        ceiling = min(ceiling, max(_FIRST_S, retry_after_s))
    return (retry_after_s or 0.0) + chance(random_bytes) * ceiling


def chance(random_bytes: RandomBytes) -> float:
    """A number by chance, 0 <= n < 1."""
    fraction: float = int.from_bytes(random_bytes(4), "big") / 2**32
    return fraction


async def keep_synced(
    sync: Callable[[], Awaitable[object]],
    rest: Callable[[], Awaitable[None]],
    sleep: Callable[[float], Awaitable[None]],
    random_bytes: RandomBytes,
) -> None:
    """Sync, `rest`, and again, until cancelled or wiped.

    Trouble of any kind (network, server, a full disk) makes it wait longer, never end.
    """
    failures = 0
    while True:
        try:
            await sync()
        except Wiped:
            return
        except Exception as error:
            failures += 1
            asked = error.retry_after_s if isinstance(error, Offline) else None
            await sleep(backoff_s(failures, random_bytes, asked))
        else:
            failures = 0
            await rest()
