"""Passwords: the policy (class 2 of GB/T 22239) and argon2id hashes."""

import asyncio
import functools

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from field_schemas.labels import Label
from sync.errors import SyncError

MIN_LENGTH = 10
MAX_LENGTH = 200

_hasher = PasswordHasher()


class PasswordWeak(SyncError):
    """A password that the policy does not allow, with everything it lacks; in the detail in both languages."""

    def __init__(self, missing: list[Label]) -> None:
        super().__init__("password_weak", "; ".join(f"{one.en} / {one.zh}" for one in missing))
        self.missing = missing


def check_policy(user: str, password: str) -> None:
    """Raises PasswordWeak."""
    missing = []
    if len(password) < MIN_LENGTH:
        missing.append(Label(f"至少 {MIN_LENGTH} 个字符", f"at least {MIN_LENGTH} characters"))
    if len(password) > MAX_LENGTH:
        missing.append(Label(f"至多 {MAX_LENGTH} 个字符", f"at most {MAX_LENGTH} characters"))
    if user.lower() in password.lower():
        missing.append(Label("不含用户名", "not the user name"))
    if len(set(password)) < MIN_LENGTH // 2:
        different = MIN_LENGTH // 2
        missing.append(Label(f"至少 {different} 种不同字符", f"at least {different} different characters"))
    if missing:
        raise PasswordWeak(missing)


async def hash_password(password: str) -> str:
    """The argon2id hash, computed in a thread."""
    return await asyncio.to_thread(_hasher.hash, password)


async def matches(password_hash: str | None, password: str) -> bool:
    """Whether `password` has this hash; without a hash (no such user) it takes as long and is False."""
    hash_of_nobody = await asyncio.to_thread(_hash_of_nobody)
    found = await asyncio.to_thread(_verify, password_hash or hash_of_nobody, password)
    return found and password_hash is not None


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


@functools.cache
def _hash_of_nobody() -> str:
    return _hasher.hash("a password that no account has")


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
