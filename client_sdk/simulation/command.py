"""gridwalk simulate."""

import signal
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from client_sdk.simulation.run import Run, simulate
from client_sdk.simulation.trace import Line
from client_sdk.simulation.world import Scenario

_LAST_LINES = 60
_INTERRUPTED = 130
_PRESENT = Scenario()
_console = Console(highlight=False, soft_wrap=True)


@click.command(name="simulate")
@click.option("--seeds", type=click.IntRange(1), default=200, show_default=True, help="How many runs.")
@click.option("--from", "first", type=click.IntRange(0), default=0, show_default=True, help="The first seed.")
@click.option("--processes", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes at work.")
@click.option("--replay", type=click.IntRange(0), metavar="SEED", help="Play one seed and print all of it.")
@click.option("--devices", type=click.IntRange(1, 50), default=_PRESENT.devices, show_default=True, help="Phones.")
@click.option(
    "--steps", type=click.IntRange(1), default=_PRESENT.steps, show_default=True, help="What people do, in all."
)
@click.option("--keep-going", is_flag=True, help="Do not stop at the first failure.")
def main(
    seeds: int,
    first: int,
    processes: int,
    replay: int | None,
    devices: int,
    steps: int,
    keep_going: bool,
) -> None:
    """Play many short, mad days of devices, network, servers and clocks, and check that nothing is lost 模拟测试.

    Each run follows from its seed alone. A failure prints the seed, the invariant that does not hold and the last
    events; the exit code is then 1. See docs/simulation.md.

    \b
    Examples:
      gridwalk simulate --seeds 1000
      gridwalk simulate --replay 17
    """
    scenario = Scenario(devices=devices, steps=steps)
    if replay is not None:
        run = simulate(replay, scenario)
        _print_run(run, run.lines)
        sys.exit(1 if run.failure else 0)
    wanted = range(first, first + seeds)
    summary = _play_all(wanted, scenario, processes, keep_going)
    for run in summary.failed:
        _print_run(run, run.lines[-_LAST_LINES:])
        _console.print(f"again: gridwalk simulate --replay {run.seed} --devices {devices} --steps {steps}\n")
    _console.print(str(summary))
    interrupted = summary.seeds < len(wanted) and not summary.failed
    sys.exit(1 if summary.failed else _INTERRUPTED if interrupted else 0)


class _Summary:
    """What the runs that ended came to."""

    def __init__(self) -> None:
        self.seeds = 0
        self.changes = 0
        self.failed: list[Run] = []
        self._happened: Counter[str] = Counter()

    def add(self, run: Run) -> None:
        """Count one run."""
        self.seeds += 1
        self.changes += run.changes
        self._happened.update(run.happened)
        if run.failure:
            self.failed.append(run)

    def __str__(self) -> str:
        parts = ", ".join(f"{count:,} {what}" for what, count in sorted(self._happened.items()))
        return f"{self.seeds:,} seeds, {self.changes:,} changes, {len(self.failed)} failed ({parts})"


def _play_all(seeds: range, scenario: Scenario, processes: int, keep_going: bool) -> _Summary:
    """The runs up to the first failure, or to an interruption by the keyboard."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}"), TimeElapsedColumn())
    summary = _Summary()
    with (
        ProcessPoolExecutor(processes, initializer=_leave_interrupts_to_the_parent) as pool,
        Progress(*columns, console=_console) as bar,
    ):
        task = bar.add_task("", total=len(seeds), told="")
        for run in _runs(pool, iter(seeds), scenario, processes):
            summary.add(run)
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed or 0.0
            told = f"{speed:.1f} seeds/s, {summary.changes:,} changes, {len(summary.failed)} failed"
            bar.update(task, advance=1, told=told)
            if summary.failed and not keep_going:
                break
    return summary


def _runs(pool: ProcessPoolExecutor, seeds: Iterator[int], scenario: Scenario, processes: int) -> Iterator[Run]:
    """Runs as they end; no more seeds are begun than processes can take. Ctrl-C ends it after those under way."""
    busy: set[Future[Run]] = {pool.submit(_played, seed, scenario) for seed in islice(seeds, 2 * processes)}
    while busy:
        try:
            done, busy = wait(busy, return_when=FIRST_COMPLETED)
        except KeyboardInterrupt:
            _console.print("interrupted")
            done, busy, seeds = *wait([one for one in busy if not one.cancel()]), iter(())
        busy |= {pool.submit(_played, seed, scenario) for seed in islice(seeds, len(done))}
        yield from sorted((future.result() for future in done), key=lambda run: run.seed)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _played(seed: int, scenario: Scenario) -> Run:
    run = simulate(seed, scenario)
    run.lines = run.lines[-_LAST_LINES:] if run.failure else []
    return run


def _print_run(run: Run, lines: list[Line]) -> None:
    for line in lines:
        _console.print(str(line), markup=False)
    if run.failure:
        _console.print(f"\nseed {run.seed} breaks {run.failure.invariant}: {run.failure.what}", style="bold red")
    else:
        hours = run.virtual_s / 3_600
        _console.print(f"\nseed {run.seed}: every invariant holds ({run.changes} changes, {hours:.1f} virtual hours)")
