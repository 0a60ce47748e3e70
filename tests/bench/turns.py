"""Contestants that take turns: what drifts on a shared machine drifts for all of them."""

import os
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

Work = Callable[[], Awaitable[int]]
"""Does a run's work; how many things that were."""
_TICKS = os.sysconf("SC_CLK_TCK")
_PARENT, _OWN_FROM, _WITH_ENDED_TO = 1, 11, 15
"""Fields of /proc/PID/stat after the name: parent; time of its own in user and kernel mode, of ended children."""


class Contestant(msgspec.Struct, frozen=True):
    """`prepare` makes the work of a run, untimed. The work is done by this process and by those of the ids given."""

    prepare: Callable[[], Work]
    servers: tuple[int, ...] = ()
    database: int | None = None


class Cost(msgspec.Struct, frozen=True):
    """Processor time, in any unit."""

    server: float
    database: float
    client: float

    def since(self, earlier: "Cost") -> "Cost":
        """What was spent in between."""
        return Cost(self.server - earlier.server, self.database - earlier.database, self.client - earlier.client)


class Result(msgspec.Struct, frozen=True):
    """The median of things a second, and microseconds of processor time a thing, over all runs."""

    rate: float
    cost: Cost


async def take_turns(contestants: Mapping[str, Contestant], runs: int) -> dict[str, Result]:
    """Each contestant runs once before any runs again. A first run of each, to warm up, does not count."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    spent: dict[str, list[Cost]] = {name: [] for name in contestants}
    done = dict.fromkeys(contestants, 0)
    for turn in range(runs + 1):
        for name, contestant in contestants.items():
            work = contestant.prepare()
            before, began = _spent(contestant), time.perf_counter()
            count = await work()
            took = time.perf_counter() - began
            if turn:
                rates[name].append(count / took)
                spent[name].append(_spent(contestant).since(before))
                done[name] += count
    return {name: Result(statistics.median(rates[name]), _each(spent[name], done[name])) for name in contestants}


def cpu_s(pid: int) -> float:
    """Processor time of a process and its children so far, seconds; 0 where the machine does not tell."""
    own = _stat(pid)
    if own is None:
        return 0.0
    ticks = sum(map(int, own[_OWN_FROM:_WITH_ENDED_TO]))
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (child := _stat(int(entry.name))) and int(child[_PARENT]) == pid:
            ticks += sum(map(int, child[_OWN_FROM:_WITH_ENDED_TO]))
    return ticks / _TICKS


def parent_of(pid: int, program: str) -> int | None:
    """The process that started a process of `program`; None where this machine has none by that id."""
    try:
        if Path(f"/proc/{pid}/comm").read_text().strip() != program:
            return None
    except OSError:
        return None
    stat = _stat(pid)
    return int(stat[_PARENT]) if stat else None


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _spent(contestant: Contestant) -> Cost:
    database = 0.0 if contestant.database is None else cpu_s(contestant.database)
    return Cost(sum(map(cpu_s, contestant.servers)), database, time.process_time())


def _each(spent: list[Cost], count: int) -> Cost:
    return Cost(*(sum(getattr(one, name) for one in spent) * 1e6 / count for name in Cost.__struct_fields__))
