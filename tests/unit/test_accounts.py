"""Accounts' rules, tokens, proofs and the key file, without database and HTTP."""

import base64
import json
import stat
import uuid
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from field_schemas.access import Grant, Role
from server.accounts import passwords
from server.accounts.proofs import thumbprint, verify_proof
from server.accounts.rules import check_duties, check_period, check_scope, check_user_id, role_of
from server.accounts.tokens import AccessTokens, honoured
from server.keys import KeyFileError, load_or_make_key
from sync.errors import SyncError

NOW = 1_790_000_000_000
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)


def code_of(caught: pytest.ExceptionInfo[SyncError]) -> str:
    """The code of a caught error."""
    return caught.value.code


@pytest.mark.parametrize("user", ["li.na", "a", "x_1-y", "0" * 64])
def test_user_ids(user: str) -> None:
    """Login names are short and plain."""
    check_user_id(user)


@pytest.mark.parametrize("user", ["", "Li", "a b", "李娜", "a\n", "0" * 65])
def test_other_user_ids(user: str) -> None:
    """Anything else is no login name."""
    with pytest.raises(SyncError):
        check_user_id(user)


@pytest.mark.parametrize(
    ("password", "missing"),
    [("short", "at least 10"), ("xxLI.NAxxxyz", "user name"), ("aaaaaaaaaaaa", "different"), ("x" * 300, "at most")],
)
def test_weak_passwords(password: str, missing: str) -> None:
    """The error says what a password lacks."""
    with pytest.raises(SyncError) as caught:
        passwords.check_policy("li.na", password)
    assert code_of(caught) == "password_weak"
    assert missing in caught.value.detail


async def test_passwords_match_their_hash() -> None:
    """A hash knows its password, no other, and nobody has none."""
    hashed = await passwords.hash_password("correct horse")
    assert await passwords.matches(hashed, "correct horse")
    assert not await passwords.matches(hashed, "wrong horse")
    assert not await passwords.matches(None, "a password that no account has")


@pytest.mark.parametrize(
    "scope", ["grid:440304", "grid:440304001", "grid:440304001001001", "person:li.na", "dept:12", "case:7-a", "all:"]
)
def test_scopes(scope: str) -> None:
    """Grants are given on grid prefixes, persons, departments, cases, and everything."""
    check_scope(scope)


@pytest.mark.parametrize(
    "scope",
    ["", "grid:", "grid:4403", "grid:4403040", "grid:44030400a", "all:x", "person:", "moon:1", "grid:440304\n"],
)
def test_malformed_scopes(scope: str) -> None:
    """Anything else is refused."""
    with pytest.raises(SyncError):
        check_scope(scope)


@pytest.mark.parametrize("role", ["self", "system", "king", ""])
def test_roles_never_granted(role: str) -> None:
    """Implied and unknown roles are not granted."""
    with pytest.raises(SyncError) as caught:
        role_of(role)
    assert "inspector" in caught.value.detail


def test_separate_duties() -> None:
    """One account never holds two of the administrators' duties at one time."""
    admin = Grant("all:", Role.ADMIN, 0, 100)
    with pytest.raises(SyncError) as caught:
        check_duties([admin], Grant("all:", Role.AUDITOR, 50))
    assert code_of(caught) == "duties_separate"


@pytest.mark.parametrize(
    "new", [Grant("all:", Role.AUDITOR, 100), Grant("all:", Role.ADMIN, 0), Grant("all:", Role.INSPECTOR, 0)]
)
def test_duties_that_do_not_meet(new: Grant) -> None:
    """One after the other, the same again, or beside other roles they are fine."""
    check_duties([Grant("all:", Role.ADMIN, 0, 100)], new)


def test_periods_go_forward() -> None:
    """A grant does not end before it begins."""
    check_period(5, None)
    with pytest.raises(SyncError):
        check_period(5, 5)


@pytest.mark.parametrize(("generation", "expected"), [(3, True), (2, True), (1, False), (0, False)])
def test_which_refresh_tokens_are_honoured(generation: int, expected: bool) -> None:
    """The newest token and the one before it, in case its answer got lost."""
    assert honoured(generation, 3) is expected


def test_access_tokens_are_read_back() -> None:
    """A token says who, on which device, in which session, with which key."""
    device, session = uuid.uuid4(), uuid.uuid4()
    claims = AccessTokens(KEY, 900).read(AccessTokens(KEY, 900).issue("a", device, session, "t", NOW), NOW)
    assert (claims.sub, claims.dev, claims.sid, claims.cnf.jkt) == ("a", device, session, "t")
    assert claims.exp * 1000 == NOW + 900_000


@pytest.mark.parametrize(("algorithm", "key"), [("none", ""), ("HS256", "x" * 32)])
def test_tokens_of_other_algorithms(algorithm: str, key: str) -> None:
    """A token that is not signed with the server's key is not taken, whatever it claims of itself."""
    claims = {"iss": "gridwalk", "sub": "a", "exp": NOW}
    token = jwt.encode(claims, key, algorithm=algorithm)
    with pytest.raises(SyncError) as caught:
        AccessTokens(KEY, 900).read(token, NOW)
    assert code_of(caught) == "token_invalid"


def test_thumbprint_of_the_rfc() -> None:
    """RFC 8037 appendix A.3 gives this thumbprint for this key."""
    key = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    assert thumbprint(key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("iat", [True, "1", None, 10**400, [1]])
def test_times_that_are_none(iat: object) -> None:
    """A proof's time is a number."""
    x = base64.urlsafe_b64encode(KEY.public_key().public_bytes_raw()).rstrip(b"=").decode()
    header = {"typ": "dpop+jwt", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}}
    payload = json.dumps({"htm": "GET", "htu": "/v1/me", "iat": iat, "jti": "1"}).encode()
    proof = jwt.PyJWS().encode(payload, KEY, algorithm="EdDSA", headers=header)
    with pytest.raises(SyncError) as caught:
        verify_proof(proof, "GET", "/v1/me", NOW, None)
    assert code_of(caught) == "proof_invalid"


def test_the_key_is_made_once(tmp_path: Path) -> None:
    """The first start makes the key, for its owner only; later starts read it."""
    path = tmp_path / "new" / "server.key"
    made = load_or_make_key(path).private_bytes_raw()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_make_key(path).private_bytes_raw() == made
    assert list(path.parent.iterdir()) == [path]


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    """A file that holds no key is neither used nor overwritten."""
    path = tmp_path / "server.key"
    path.write_text("my notes")
    with pytest.raises(KeyFileError):
        load_or_make_key(path)
    assert path.read_text() == "my notes"
