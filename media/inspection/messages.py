"""What passes between the server and the child: MessagePack, each message after its length in four bytes."""

import msgspec

from field_schemas.media import DigestName
from media.derivatives import Derivative
from media.inspection.facts import Facts

LENGTH_BYTES = 4
MAX_REPLY_BYTES = 64 * 2**20


class Inspect(msgspec.Struct, frozen=True, tag=True):
    """Look into the file at `path`."""

    path: str
    size_bytes: int
    digest: DigestName


class Derive(msgspec.Struct, frozen=True, tag=True):
    """Make `wish` from the file at `path`."""

    path: str
    size_bytes: int
    wish: Derivative


class Found(msgspec.Struct, frozen=True, tag=True):
    """The answer to Inspect."""

    facts: Facts


class Made(msgspec.Struct, frozen=True, tag=True):
    """The answer to Derive: a whole picture file."""

    picture: bytes


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Nothing came of it; `code` is the finding that says why. `spent`: the child should not be asked again."""

    code: str
    detail: str
    spent: bool = False


Request = Inspect | Derive
Reply = Found | Made | Failed
