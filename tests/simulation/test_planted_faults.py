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

DAY = Scenario()


def busy(often: str) -> Scenario:
    """A shorter day that holds more of one thing."""
    return Scenario(steps=100, often=often)


FAULTS: Sequence[tuple[Plant, Scenario, set[str]]] = (
    (faults.acknowledge_before_the_disk, busy("crash_database"), EFFECT | COPIES | {"every_change_has_a_verdict"}),
    (faults.apply_retries_again, DAY, EFFECT | {"phones_know_their_verdicts", "no_stray_exception"}),
    (faults.apply_what_revoked_devices_send, busy("revoke"), {"revoked_devices_are_quarantined"}),
    (faults.correct_as_seen_now, Scenario(often="revoke"), EFFECT),
    (faults.drop_unsent_work_at_a_reset, busy("restore_database"), {"unsent_work_stays"}),
    (faults.drop_unsent_work_at_sign_out, busy("sign_out"), {"unsent_work_stays"}),
    (faults.guess_what_newer_servers_stored, busy("deploy"), EFFECT | COPIES | {"no_stray_exception"}),
    (faults.hold_undone_work_for_later, Scenario(often="undo"), EFFECT),
    (faults.ignore_commit_order, busy("rush"), COPIES | {"feeds_only_grow"}),
    (faults.judge_at_arrival, busy("end"), {"authority_is_as_of_capture"}),
    (faults.keep_what_left, busy("end"), {"copies_are_equal"}),
    (faults.leave_conflicts_behind, busy("go_on"), {"conflicts_follow_their_records"}),
    (faults.leave_copies_to_the_next_user, busy("hand_on"), {"leaves_nothing_to_others"}),
    (faults.leave_the_cursor_to_the_next_user, busy("hand_on"), {"leaves_nothing_to_others"}),
    (faults.let_others_sign_in_over_unsent_work, busy("hand_on"), {"unsent_work_stays"}),
    (faults.let_syncs_go_on_for_the_next_user, busy("hand_on"), {"holds_only_what_was_given", "no_stray_exception"}),
    (faults.lose_outbox_entries, DAY, COPIES | {"comes_to_rest"}),
    (faults.lose_sight_of_own_work, busy("go_on"), {"told_is_shown"}),
    (faults.lose_unknown_fields, busy("deploy"), COPIES),
    (faults.merge_into_what_is_stored_as_it_is, busy("deploy"), EFFECT | COPIES | {"no_stray_exception"}),
    (faults.overwrite_later_work, Scenario(often="undo"), EFFECT),
    (faults.resurrect_what_was_purged, busy("purge"), {"copies_are_equal"}),
    (faults.reuse_versions, DAY, {"numbers_are_used_once", "told_is_shown"}),
    (faults.send_masked_fields, DAY, {"no_leak"}),
    (faults.settle_without_consequence, busy("go_on"), {"decisions_were_carried_out"}),
    (faults.show_what_is_stored_as_it_is, busy("deploy"), COPIES | {"no_leak", "no_stray_exception"}),
    (faults.stay_signed_in, busy("sign_out"), {"signed_out_is_out"}),
    (faults.take_old_changes_as_new, busy("deploy"), EFFECT | COPIES | {"no_stray_exception"}),
    (faults.take_the_older, DAY, EFFECT),
    (faults.take_what_snapshots_say, busy("purge"), {"copies_never_go_back"}),
    (faults.tell_nobody_of_conflicts, busy("go_on"), {"verdicts_say_what_happened"}),
    (faults.undo_twice, busy("undo"), {"undone_once"}),
    (faults.wipe_unasked, busy("restore_database"), {"wiped_only_what_was_sent"}),
)
"""What may be planted; the days that show it soon; and what breaks then."""


@pytest.mark.parametrize(("fault", "scenario", "invariants"), FAULTS, ids=[fault.__name__ for fault, *_ in FAULTS])
def test_planted_fault_is_caught(
    monkeypatch: pytest.MonkeyPatch, fault: Plant, scenario: Scenario, invariants: set[str]
) -> None:
    """The fault breaks an invariant it should break within a bounded number of seeds."""
    fault(monkeypatch)
    assert first_failure(scenario).invariant in invariants


def first_failure(scenario: Scenario) -> Failure:
    """What the first seed that fails breaks."""
    for seed in range(SEEDS):
        if failure := simulate(seed, scenario).failure:
            return failure
    raise AssertionError(f"none of {SEEDS} seeds failed")
