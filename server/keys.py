"""The server's Ed25519 key: signs access tokens; made on first use, never replaced."""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class KeyFileError(Exception):
    """The key file exists but holds no Ed25519 private key."""


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """The key of the PEM file `path`, made there (mode 0600) if there is none.

    Several processes may start at once: the first to link its file wins, the others read that one. Raises
    KeyFileError when the file holds something else; it is left as it is.
    """
    if not path.exists():
        _make(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} holds no Ed25519 private key in PEM form") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} holds another kind of key than Ed25519")
    return key


def derived_secret(key: Ed25519PrivateKey, purpose: str) -> bytes:
    """32 bytes that only who has `key` can know, other ones for each purpose."""
    return HKDF(hashes.SHA256(), 32, salt=None, info=purpose.encode()).derive(key.private_bytes_raw())


def _make(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
