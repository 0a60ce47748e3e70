"""The torture: a real server is killed again and again under load, and nothing it acknowledged may be lost."""

import asyncio
import secrets
import statistics
import sys
import tempfile
from pathlib import Path

import click
from rich.progress import Progress

from client_sdk.demo import show
from client_sdk.demo.stage import StageError
from client_sdk.torture.checks import PROMISES, TO_THE_END, Violation, violations
from client_sdk.torture.run import Plan, Run
from client_sdk.torture.servers import Servers
from field_schemas.registry import load_types

_SHOWN = 5
"""Pieces of evidence for each broken promise."""


@click.command()
@click.option("--kills", type=click.IntRange(0, 1_000), default=100, show_default=True, help="How often to kill.")
@click.option("--devices", type=click.IntRange(1, 200), default=8, show_default=True, help="Devices at work.")
@click.option("--database-url", help="An empty PostgreSQL database. [default: a new SQLite file]")
@click.option("--workers", type=click.IntRange(1, 16), default=1, show_default=True, help="Server processes.")
@click.option("--seed", type=int, help="Repeat the choices of a run. [default: another each time]")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the server's files and log in this folder.")
def main(
    kills: int, devices: int, database_url: str | None, workers: int, seed: int | None, keep: Path | None
) -> None:
    """Kill a server under load (kill -9), and check that nothing is lost 强制中断测试.

    Devices push and pull without pause while server processes are killed in the midst of their work and started
    again. At the end everything ever sent is sent once more: every answer must be the one given before, and every
    counter, set and list what the answers add up to. Ends with exit code 1 and the evidence when it is not.

    \b
    Examples:
      gridwalk torture --kills 20
      gridwalk torture --workers 2 --database-url postgresql://user@host/empty
    """
    if workers > 1 and not database_url:
        raise click.UsageError("several server processes need a PostgreSQL --database-url")
    plan = Plan(kills, devices, secrets.randbelow(10**6) if seed is None else seed)
    with tempfile.TemporaryDirectory(prefix="gridwalk-torture-") as scratch:
        folder = keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        servers = Servers(folder, database_url, workers)
        try:
            run = asyncio.run(_play(servers, plan))
        except StageError as error:
            raise click.ClickException(str(error)) from error
    found = violations(run.history, load_types())
    _report(run, servers, plan)
    sys.exit(0 if _judge(found) else 1)


async def _play(servers: Servers, plan: Plan) -> Run:
    with Progress(console=show.console, transient=True) as progress:
        task = progress.add_task("Killing", total=plan.kills)
        run = Run(servers, plan, lambda: progress.advance(task))
        try:
            await servers.start()
            await run.play()
        finally:
            await servers.stop()
    return run


def _report(run: Run, servers: Servers, plan: Plan) -> None:
    history = run.history
    verdicts = [verdict.outcome for device in history.devices for verdict in device.answers]
    rows: list[tuple[str, str | int]] = [
        ("server processes killed", servers.kills),
        ("ready again after, median", f"{statistics.median(servers.ready_s or [0]):.2f} s"),
        ("requests", run.traffic.requests),
        ("requests without an answer, sent again", run.traffic.unanswered),
        ("changes sent", sum(len(device.sent) for device in history.devices)),
        ("changes acknowledged", len(verdicts)),
        *((f"  {outcome}", verdicts.count(outcome)) for outcome in dict.fromkeys(sorted(verdicts))),
        ("changes resent at the end", sum(len(device.resent) for device in history.devices)),
        ("records in a full pull", len(history.full)),
        ("time", f"{run.seconds:.1f} s"),
    ]
    show.table(("what", "count"), rows, f"{plan.devices} devices, seed {plan.seed}")


def _judge(found: list[Violation]) -> bool:
    """Say of every promise whether it was kept; after a run that broke off, of the one that was not."""
    for promise in [TO_THE_END] if any(one.promise == TO_THE_END for one in found) else PROMISES:
        broken = [violation.evidence for violation in found if violation.promise == promise]
        show.check(not broken, promise + (f": {len(broken)} times not" if broken else ""))
        for evidence in broken[:_SHOWN]:
            show.console.print(f"      {evidence}", markup=False, soft_wrap=True)
    return not found
