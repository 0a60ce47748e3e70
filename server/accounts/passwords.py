"""Passwords: the policy (class 2 of GB/T 22239) and argon2id hashes."""

import asyncio
import functools

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from sync.errors import SyncError

MIN_LENGTH = 10
MAX_LENGTH = 200

_hasher = PasswordHasher()


def check_policy(user: str, password: str) -> None:
    """Raise SyncError `password_weak` saying everything that is missing."""
    missing = []
    if len(password) < MIN_LENGTH:
        missing.append(f"at least {MIN_LENGTH} characters / 至少 {MIN_LENGTH} 个字符")
    if len(password) > MAX_LENGTH:
        missing.append(f"at most {MAX_LENGTH} characters / 至多 {MAX_LENGTH} 个字符")
    if user.lower() in password.lower():
        missing.append("not the user name / 不含用户名")
    if len(set(password)) < MIN_LENGTH // 2:
        missing.append(f"at least {MIN_LENGTH // 2} different characters / 至少 {MIN_LENGTH // 2} 种不同字符")
    if missing:
        raise SyncError("password_weak", "; ".join(missing))


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
