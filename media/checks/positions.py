"""A file's position against the position of its record."""

from field_schemas.datum import distance_m
from field_schemas.media_findings import CheckFinding
from field_schemas.places import Position
from media.metadata.facts import Origin, PositionFault
from media.thresholds import Thresholds

_FAULTS = {
    PositionFault.MALFORMED: "place_malformed",
    PositionFault.ZERO: "place_zero",
    PositionFault.DATUM_UNKNOWN: "place_datum_unknown",
    PositionFault.NO_FIX: "place_without_fix",
}


def check_stated(origin: Origin) -> list[CheckFinding]:
    """What is missing from, wrong with or assumed of the position that a file states."""
    findings = []
    if origin.position_fault is not None:
        findings.append(CheckFinding(_FAULTS[origin.position_fault], origin.datum_written))
    elif origin.position is None:
        findings.append(CheckFinding("place_missing"))
    if origin.position is not None and origin.datum_written is None:
        findings.append(CheckFinding("place_datum_assumed", shown(origin.position)))
    return findings


def check_position(found: Position, claimed: Position, thresholds: Thresholds) -> CheckFinding:
    """Whether a file was made where its record is."""
    return judged("place", found, claimed, between_m(found, claimed), thresholds.photo_place_gap_m, thresholds)


def judged(
    name: str, found: Position, claimed: Position | str, gap_m: float, allowed_m: float, thresholds: Thresholds
) -> CheckFinding:
    """The finding `name`_matches or `name`_differs for a distance of `gap_m` metres.

    The accuracies of both sides add to what is allowed; a position vaguer than `photo_vague_place_m` is not compared.
    """
    accuracies = [found.accuracy_m or 0.0]
    if isinstance(claimed, Position):
        accuracies.append(claimed.accuracy_m or 0.0)
        claimed = shown(claimed)
    if max(accuracies) > thresholds.photo_vague_place_m:
        return CheckFinding(
            "place_vague", shown(found), claimed, max(accuracies), thresholds.photo_vague_place_m, "m"
        )
    allowed_m += sum(accuracies)
    code = f"{name}_matches" if gap_m <= allowed_m else f"{name}_differs"
    return CheckFinding(code, shown(found), claimed, round(gap_m, 1), round(allowed_m, 1), "m")


def between_m(one: Position, other: Position) -> float:
    """The distance in metres, each position taken by its own datum."""
    return distance_m(*one.wgs84(), *other.wgs84())


def shown(position: Position) -> str:
    """A position to be read: degrees as measured, and their datum."""
    radius = "" if position.accuracy_m is None else f" ± {position.accuracy_m:g} m"
    return f"{position.lat:.6f}, {position.lon:.6f} {position.datum}{radius}"
