"""An honest photo and what is claimed of it, to be changed in one thing at a time."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec

from field_schemas.media import MediaRef
from field_schemas.media_findings import CheckFinding
from field_schemas.places import Position
from media.checks.claims import CaptureTime, Claims, SeenPicture
from media.checks.report import Report, check
from media.exif import read
from media.inspection.facts import Facts
from tests.photos import Shot, photo

TAKEN = datetime(2026, 11, 20, 1, 30, tzinfo=UTC)
TAKEN_MS = int(TAKEN.timestamp() * 1000)
HERE = "+22.5410+114.0590/"
RECORD, OTHER, TASK = UUID(int=1), UUID(int=2), UUID(int=3)
DIGEST = "sha256:" + "a" * 64
SIZE = 20_000
CAPTURE = CaptureTime(ms=TAKEN_MS + 30_000, error_ms=2_000, received_ms=TAKEN_MS + 7_200_000)
CLAIMS = Claims(
    digest=DIGEST,
    record=RECORD,
    capture=CAPTURE,
    position=Position(114.059, 22.541, accuracy_m=10),
    device="HUAWEI P60",
)


def claims(**changes: object) -> Claims:
    """The claims of an honest photo, but for `changes`."""
    return msgspec.structs.replace(CLAIMS, **changes)


def captured(told_at: datetime | None = None, **changes: object) -> Claims:
    """The same, captured at another time; `told_at` is when the record says that the photo was taken."""
    ref = None if told_at is None else MediaRef(DIGEST, SIZE, "image/jpeg", captured_at=told_at)
    return claims(capture=msgspec.structs.replace(CAPTURE, **changes), ref=ref)


def told(**changes: object) -> Claims:
    """The same, with a record that tells more of the photo."""
    return claims(ref=msgspec.structs.replace(MediaRef(DIGEST, SIZE, "image/jpeg"), **changes))


def facts_of(shot: Shot) -> Facts:
    """The facts of an intact photo file."""
    read_of_it = read(photo(shot))
    return Facts(digest=DIGEST, size_bytes=SIZE, media_type="image/jpeg", photo=read_of_it, fingerprint=0b1011)


def checked(shot: Shot, claimed: Claims = CLAIMS, *earlier: SeenPicture) -> Report:
    """The report on a photo."""
    return check(claimed, facts_of(shot), earlier)


def named(report: Report, code: str) -> CheckFinding:
    """The one finding with this code."""
    (finding,) = [found for found in report.findings if found.code == code]
    return finding
