"""What must hold when all have come to rest."""

from collections.abc import Callable, Iterator

from client_sdk.simulation import log_invariants as log
from client_sdk.simulation import phone_invariants as phones
from client_sdk.simulation.world import World

INVARIANTS: tuple[Callable[[World], Iterator[str]], ...] = (
    phones.every_change_has_a_verdict,
    log.numbers_are_used_once,
    log.each_effect_happened_once,
    log.verdicts_say_what_happened,
    log.decisions_were_carried_out,
    log.undone_once,
    log.authority_is_as_of_capture,
    log.revoked_devices_are_quarantined,
    phones.receipts_are_true,
    phones.capture_times_are_bounded,
    log.attentions_match_verdicts,
    log.conflicts_follow_their_records,
    phones.nothing_is_pending,
    phones.phones_know_their_verdicts,
    phones.copies_are_equal,
)


def check(world: World) -> None:
    """Hold the world against every invariant; what does not hold is among its failures."""
    for invariant in INVARIANTS:
        for what in invariant(world):
            world.violated(invariant.__name__, what)
