"""What can go wrong with media.

MediaError        a request is answered with a code of the catalogue
├── AtOffset      the same, and `offset` says how many bytes of the upload are held
├── OutsideRange  the same, and `size` says how many bytes the file has
└── Unavailable   the store of blobs cannot be used just now; nothing was lost, later it may go

BlobDamaged       what the store holds is not what its digest says; whole bytes that arrive again mend it
StoreUnusable     the store of blobs refuses this server: its keys, its bucket, its address are wrong
"""


class MediaError(Exception):
    """A request that is answered with `code` of the catalogue; `detail` says what and where."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class AtOffset(MediaError):
    """Bytes were not taken; the client goes on from `offset`."""

    def __init__(self, code: str, detail: str, offset: int) -> None:
        super().__init__(code, detail)
        self.offset = offset


class OutsideRange(MediaError):
    """The range asked for holds no byte of the file, which has `size` of them."""

    def __init__(self, code: str, detail: str, size: int) -> None:
        super().__init__(code, detail)
        self.size = size


class Unavailable(MediaError):
    """The store of blobs does not answer, or refuses; the log says why, the client need not know."""

    def __init__(self) -> None:
        super().__init__("storage_unavailable", "the store of photos and videos does not answer")


class BlobDamaged(Exception):
    """The bytes of a blob are not those it was stored with; says what they are."""


class StoreUnusable(Exception):
    """The store of blobs cannot be used as it is configured; says why."""
