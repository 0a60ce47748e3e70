"""Seeds without planted faults: nothing is lost, doubled, leaked or left different."""

import functools
import os
import subprocess
import sys

import pytest

from client_sdk.simulation.run import Run, simulate
from client_sdk.simulation.world import Scenario

SMALL = Scenario(devices=3, steps=60)


@functools.cache
def day(seed: int) -> Run:
    """A day, played once for all that is asked of it."""
    return simulate(seed, Scenario())


BEGUN_ANEW_AFTER_A_RESTORE = 80442
"""A restore, a receipt that the server cannot give yet, and a snapshot that is gone twice, all in one sync."""

SETS_A_DEFAULT = 400342
"""A field is set to what it is by default anyway."""


@pytest.mark.parametrize("seed", [*range(12), BEGUN_ANEW_AFTER_A_RESTORE, SETS_A_DEFAULT])
def test_seed_is_clean(seed: int) -> None:
    """Every invariant holds (else: gridwalk simulate --replay SEED)."""
    assert day(seed).failure is None


@pytest.mark.parametrize(
    "event", ["crash_database", "deploy", "restore_database", "purge", "revoke", "end", "hand_on", "sign_out"]
)
def test_busy_day_is_clean(event: str) -> None:
    """Every invariant holds where one thing befalls the city often."""
    assert simulate(0, Scenario(steps=100, often=event)).failure is None


def test_the_mix_holds_everything() -> None:
    """What is rare in a day comes within a few."""
    happened = {what for seed in range(12) for what in day(seed).happened}
    assert happened >= {
        "accounts disabled", "app updates", "applied", "applied after refusal", "conflict", "deployments",
        "handed on", "merged", "not handed on", "purges", "quarantined", "refused", "renamed after they were stored",
        "resent", "resolved", "restores", "server_behind", "sessions ended", "signed in again", "signed out",
        "token_reused", "undone", "wipes",
    }  # fmt: skip


def test_same_seed_same_run() -> None:
    """A seed gives the same trace every time, another seed another one."""
    assert simulate(1, SMALL).digest == simulate(1, SMALL).digest != simulate(2, SMALL).digest


def test_same_seed_in_another_process() -> None:
    """Neither the process nor its hash seed changes a run."""
    source = (
        "from client_sdk.simulation.run import simulate; from client_sdk.simulation.world import Scenario;"
        "print(simulate(1, Scenario(devices=3, steps=60)).digest)"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", source],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    ]
    assert digests == [simulate(1, SMALL).digest] * 2
