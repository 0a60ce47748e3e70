"""The simulation finds what it is there to find: faults planted one by one, each caught within a few seeds."""

from collections.abc import Sequence

import pytest

from client_sdk.simulation.run import simulate
from client_sdk.simulation.world import Failure, Scenario
from tests.simulation import faults
from tests.simulation.faults import Plant

SEEDS = 40
"""A fault must show within so many."""
EFFECT = {"each_effect_happened_once", "verdicts_say_what_happened"}
COPIES = {"copies_are_equal", "told_is_shown"}

FAULTS: Sequence[tuple[Plant, str | None, set[str]]] = (
    (faults.acknowledge_before_the_disk, "crash_database", EFFECT | COPIES | {"every_change_has_a_verdict"}),
    (faults.apply_retries_again, None, EFFECT | {"phones_know_their_verdicts", "no_stray_exception"}),
    (faults.apply_what_revoked_devices_send, None, {"revoked_devices_are_quarantined"}),
    (faults.correct_as_seen_now, None, EFFECT),
    (faults.drop_unsent_work_at_a_reset, None, COPIES | {"every_change_has_a_verdict", "wiped_only_what_was_sent"}),
    (faults.guess_what_newer_servers_stored, "deploy", EFFECT | COPIES | {"no_stray_exception"}),
    (faults.ignore_commit_order, None, COPIES | {"feeds_only_grow"}),
    (faults.judge_at_arrival, "end", {"authority_is_as_of_capture"}),
    (faults.keep_what_left, "end", {"copies_are_equal"}),
    (faults.leave_conflicts_behind, None, {"conflicts_follow_their_records"}),
    (faults.lose_outbox_entries, None, COPIES | {"comes_to_rest"}),
    (faults.lose_sight_of_own_work, None, {"told_is_shown"}),
    (faults.lose_unknown_fields, "deploy", COPIES),
    (faults.merge_into_what_is_stored_as_it_is, "deploy", EFFECT | COPIES | {"no_stray_exception"}),
    (faults.overwrite_later_work, None, EFFECT),
    (faults.resurrect_what_was_purged, "purge", {"copies_are_equal"}),
    (faults.reuse_versions, None, {"numbers_are_used_once"}),
    (faults.send_masked_fields, None, {"no_leak"}),
    (faults.settle_without_consequence, None, {"decisions_were_carried_out"}),
    (faults.show_what_is_stored_as_it_is, "deploy", COPIES | {"no_leak", "no_stray_exception"}),
    (faults.take_old_changes_as_new, None, EFFECT | COPIES | {"no_stray_exception"}),
    (faults.take_the_older, None, EFFECT),
    (faults.tell_nobody_of_conflicts, None, {"verdicts_say_what_happened"}),
    (faults.undo_twice, None, {"undone_once"}),
    (faults.wipe_unasked, "restore_database", {"wiped_only_what_was_sent"}),
)
"""What may be planted; what befalls the city often on the days that show it, where other days seldom do; and what
breaks then."""


@pytest.mark.parametrize(("fault", "often", "invariants"), FAULTS, ids=[fault.__name__ for fault, *_ in FAULTS])
def test_planted_fault_is_caught(
    monkeypatch: pytest.MonkeyPatch, fault: Plant, often: str | None, invariants: set[str]
) -> None:
    """The fault breaks an invariant it should break within a bounded number of seeds."""
    fault(monkeypatch)
    assert first_failure(Scenario(steps=100, often=often) if often else Scenario()).invariant in invariants


def first_failure(scenario: Scenario) -> Failure:
    """What the first seed that fails breaks."""
    for seed in range(SEEDS):
        if failure := simulate(seed, scenario).failure:
            return failure
    raise AssertionError(f"none of {SEEDS} seeds failed")
