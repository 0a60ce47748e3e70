"""Receipts over HTTP: signed by the server, continued, and never given for what the server does not hold."""

import base64
import uuid
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from server.accounts.proofs import thumbprint
from sync.messages import Outcome
from sync.receipts import CHAIN_START, chained
from tests.integration.http_server import JSON, MSGPACK, HttpServer, Phone, problem


@pytest.fixture
def phone(server: HttpServer) -> Phone:
    """A signed-in inspector's device, new."""
    return server.inspector()


def key_of(phone: Phone) -> bytes:
    """The server's public key, as /v1/me tells it."""
    text: str = phone.call("GET", "/v1/me").json()["server_key"]
    assert len(text) == 43
    return base64.urlsafe_b64decode(text + "=")


def read(phone: Phone, receipt: str) -> dict[str, Any]:
    """The claims of a receipt whose signature holds."""
    key = Ed25519PublicKey.from_public_bytes(key_of(phone))
    claims: dict[str, Any] = jwt.decode(receipt, key, algorithms=["EdDSA"])
    return claims


def push(phone: Phone, count: int) -> list[tuple[uuid.UUID, Outcome]]:
    """Push some changes, the last of which is refused; ids and outcomes in order."""
    changes = [phone.change() for _ in range(count - 1)] + [phone.change("spaceship")]
    verdicts = phone.push(*changes).json()["verdicts"]
    return [(uuid.UUID(verdict["change"]), Outcome(verdict["outcome"])) for verdict in verdicts]


def ask(phone: Phone, changes: list[tuple[uuid.UUID, Outcome]], previous: str | None = None, **how: Any) -> str:
    """A receipt for these changes."""
    ids = [str(change) for change, _ in changes]
    receipt: str = phone.ask("/v1/receipts", {"changes": ids, "previous": previous}, **how)["receipt"]
    return receipt


@pytest.mark.parametrize("wire", [JSON, MSGPACK])
def test_a_receipt_can_be_checked(phone: Phone, wire: str) -> None:
    """A receipt is signed by the server's key, names it, and vouches for every change with its verdict."""
    held = push(phone, 3)
    receipt = ask(phone, held, accept=wire)
    claims = read(phone, receipt)
    assert claims["chain"] == chained(CHAIN_START, held)
    assert (claims["iss"], claims["held"], claims["user"]) == ("gridwalk", 3, phone.user)
    assert (claims["device"], claims["issued_ms"]) == (str(phone.device), phone.server.now_ms)
    assert jwt.get_unverified_header(receipt)["kid"] == thumbprint(key_of(phone))


def test_the_session_tells_the_same_key(server: HttpServer) -> None:
    """A device learns the key at sign-in."""
    phone = Phone(server, server.new_user())
    signed_in = phone.sign_in().json()["server_key"]
    assert signed_in == phone.call("GET", "/v1/me").json()["server_key"] == phone.refresh().json()["server_key"]


def test_a_receipt_goes_on(phone: Phone) -> None:
    """A receipt asked for with the previous one vouches for everything since the first change."""
    first, second = push(phone, 2), push(phone, 3)
    claims = read(phone, ask(phone, second, ask(phone, first)))
    assert (claims["held"], claims["chain"]) == (5, chained(CHAIN_START, first + second))


def test_nothing_new(phone: Phone) -> None:
    """A receipt for no changes says the same again."""
    receipt = ask(phone, push(phone, 2))
    again = read(phone, ask(phone, [], receipt))
    assert (again["held"], again["chain"]) == (2, read(phone, receipt)["chain"])


def test_an_unknown_change_is_named(phone: Phone) -> None:
    """The server vouches for nothing it does not hold, and says what that is."""
    missing = str(uuid.uuid4())
    answer = phone.call("POST", "/v1/receipts", {"changes": [missing]})
    assert problem(answer) == (409, "change_unknown")
    assert answer.json()["change"] == missing


def test_anothers_change(server: HttpServer, phone: Phone) -> None:
    """Nobody gets a receipt for what somebody else sent."""
    ids = [str(change) for change, _ in push(phone, 2)]
    answer = server.signed_in().call("POST", "/v1/receipts", {"changes": ids})
    assert problem(answer) == (409, "change_unknown")


def test_a_foreign_previous(server: HttpServer, phone: Phone) -> None:
    """A receipt of another device is not gone on from."""
    foreign = ask(server.inspector(), [])
    answer = phone.call("POST", "/v1/receipts", {"changes": [], "previous": foreign})
    assert problem(answer) == (422, "receipt_invalid")


def test_a_forged_previous(phone: Phone) -> None:
    """A receipt that another key signed is not gone on from."""
    claims = read(phone, ask(phone, [])) | {"held": 99}
    forged = jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"typ": "gridwalk-receipt"})
    answer = phone.call("POST", "/v1/receipts", {"changes": [], "previous": forged})
    assert problem(answer) == (422, "receipt_invalid")


@pytest.mark.parametrize("previous", ["x", "a.b.c", ".", "é", "e30.e30.e30"])
def test_a_previous_that_is_none(phone: Phone, previous: str) -> None:
    """What is no receipt is refused as such."""
    answer = phone.call("POST", "/v1/receipts", {"changes": [], "previous": previous})
    assert problem(answer) == (422, "receipt_invalid")


def test_an_access_token_is_no_receipt(phone: Phone) -> None:
    """What the server's key signed for another purpose is no receipt."""
    answer = phone.call("POST", "/v1/receipts", {"changes": [], "previous": phone.access_token})
    assert problem(answer) == (422, "receipt_invalid")


def test_a_receipt_is_no_access_token(phone: Phone) -> None:
    """And the other way round."""
    receipt = ask(phone, [])
    assert problem(phone.call("GET", "/v1/me", token=receipt)) == (401, "token_invalid")
