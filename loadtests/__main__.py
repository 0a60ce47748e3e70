"""`make loadtest`: hundreds of inspectors work on a server of its own; figures and losses go to build/load.json."""

# Before all else: locust has gevent replace what blocks, also in what is imported below.
import locust  # isort: skip

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from locust.env import Environment
from locust.stats import RequestStats

from loadtests.ground import Ground
from loadtests.inspector import ACCOUNTS, PASSWORD, Inspector

RESULTS = Path("build/load.json")
_DEVICES_OF_ACCOUNT = 50
_ALONE_SHARE = 3
"""One works alone for a part of the time, one in so many."""
_COMING_A_SECOND = 10
"""Signing in takes the server a password's hash, which is made to be slow."""
_PATIENCE_S = 600
_POLL_S = 0.1
_WATCHED = ("/v1/push", "/v1/pull")


class Figure(msgspec.Struct, frozen=True):
    """A figure, and its ratio to a baseline of the same run."""

    name: str
    value: float
    unit: str
    baseline: float
    ratio: float


def figure(name: str, value: float, unit: str, baseline: float) -> Figure:
    """A figure with its ratio, 0 where there is no baseline."""
    return Figure(name, value, unit, baseline, value / baseline if baseline else 0.0)


def main() -> None:
    """Run, print, write; end with an error where something was lost or failed."""
    parser = argparse.ArgumentParser(prog="make loadtest ARGS=...", description=__doc__)
    parser.add_argument("--devices", type=int, default=500, help="inspectors at work at once (500)")
    parser.add_argument("--seconds", type=int, default=60, help="how long they work once all are there (60)")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="gridwalk-load-") as folder:
        ground = Ground(Path(folder))
        print(f"accounts for {asked.devices:,} devices ...", flush=True)
        for number in range(-(-asked.devices // _DEVICES_OF_ACCOUNT)):
            ground.add_inspector(number)
        os.environ |= {PASSWORD: ground.password, ACCOUNTS: ",".join(ground.accounts)}
        with ground.served():
            alone = _worked(ground.url, 1, asked.seconds / _ALONE_SHARE)
            loaded = _worked(ground.url, asked.devices, asked.seconds)
    figures = list(_figures(f"{asked.devices:,} inspectors", alone, loaded, asked.seconds))
    for one in figures:
        print(f"{one.name:60} {one.value:12,.1f} {one.unit:10} baseline {one.baseline:,.1f}, ratio {one.ratio:.2f}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(figures)))
    failed = alone.num_failures + loaded.num_failures
    if Inspector.lost or failed:
        sys.exit(f"{Inspector.lost} changes lost, {failed} requests failed: {[*loaded.errors]}")


def _worked(url: str, devices: int, seconds: float) -> RequestStats:
    """What was measured while so many devices worked for so long, after all of them had come."""
    print(f"{devices:,} at work ...", flush=True)
    environment = Environment(user_classes=[Inspector], host=url, events=locust.events, stop_timeout=120)
    runner = environment.create_local_runner()
    Inspector.at_work = 0
    runner.start(devices, spawn_rate=_COMING_A_SECOND)
    until = time.monotonic() + _PATIENCE_S
    while Inspector.at_work < devices and time.monotonic() < until:
        time.sleep(_POLL_S)
    print(f"{Inspector.at_work:,} signed in", flush=True)
    environment.stats.reset_all()
    time.sleep(seconds)
    stats = environment.stats
    runner.quit()
    return stats


def _figures(name: str, alone: RequestStats, loaded: RequestStats, seconds: int) -> Iterator[Figure]:
    for path in _WATCHED:
        baseline = alone.get(path, "POST").get_response_time_percentile(0.5)
        for share in (0.5, 0.99):
            value = loaded.get(path, "POST").get_response_time_percentile(share)
            yield figure(f"{name}, {path}, p{share * 100:.0f}; baseline: p50 of one alone", value, "ms", baseline)
    requests = loaded.total.num_requests
    yield figure(f"{name}, requests; baseline: seconds", requests, "requests", seconds)
    for what, times in Inspector.put_off.items():
        yield figure(f"{name}, {what}, signing in included; baseline: requests", times, "requests", requests)
    yield figure(f"{name}, changes lost; baseline: acknowledged", Inspector.lost, "changes", Inspector.acknowledged)


if __name__ == "__main__":
    main()
