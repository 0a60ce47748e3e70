"""Signing in, refreshing, signing out, and what a call must carry."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from field_schemas.access import Role
from tests.integration.http_server import JSON, PASSWORD, STREET, HttpServer, Phone, problem

MINUTE = 60_000


@pytest.fixture
def phone(server: HttpServer) -> Phone:
    """A signed-in device of an account of its own."""
    return server.signed_in()


def test_sign_in_gives_tokens_and_grants(server: HttpServer) -> None:
    """A sign-in answers 201 with who it is, what they may do, and both tokens."""
    user = server.new_user((f"grid:{STREET}", Role.INSPECTOR))
    answer = Phone(server, user).sign_in()
    assert answer.status_code == 201
    body = answer.json()
    assert (body["user"], body["expires_in"], body["server_ms"]) == (user, 3_600, server.now_ms)
    assert [grant["scope"] for grant in body["grants"]] == [f"grid:{STREET}"]
    assert answer.headers["cache-control"] == "no-store"


def test_signing_in_again_enrols_nothing_twice(server: HttpServer, phone: Phone) -> None:
    """The same device of the same user with the same key may sign in as often as it likes."""
    assert phone.sign_in().status_code == 201
    assert len(server.administer(lambda accounts: accounts.devices.of(phone.user))) == 1


@pytest.mark.parametrize("user", [None, "nobody", "a\0b", "Ünknown"])
def test_wrong_credentials(server: HttpServer, user: str | None) -> None:
    """A wrong password and an unknown user answer the same."""
    phone = Phone(server, user or server.new_user())
    assert problem(phone.sign_in("not the password")) == (401, "credentials_wrong")


def test_a_sign_in_is_small(server: HttpServer) -> None:
    """What anybody may send is bounded before it is read."""
    assert problem(Phone(server, "nobody").sign_in("x" * 20_000)) == (413, "body_too_large")


def test_lockout(server: HttpServer) -> None:
    """Five wrong passwords lock the account for a quarter of an hour, even for the right one."""
    phone = Phone(server, server.new_user())
    for _ in range(5):
        assert problem(phone.sign_in("not the password")) == (401, "credentials_wrong")
    assert problem(phone.sign_in()) == (403, "account_locked")
    server.now_ms += 15 * MINUTE
    assert phone.sign_in().status_code == 201


def test_lockout_of_many_at_once(server: HttpServer) -> None:
    """Wrong passwords tried all at once get no further than one after the other."""
    phones = [Phone(server, user) for user in [server.new_user()] * 16]
    with ThreadPoolExecutor(len(phones)) as pool:
        answers = list(pool.map(lambda phone: problem(phone.sign_in("not the password")), phones))
    assert answers.count((401, "credentials_wrong")) <= 5
    assert problem(phones[0].sign_in()) == (403, "account_locked")


def test_many_phones_of_one_user(server: HttpServer) -> None:
    """Many phones of one user that sign in at once are all let in."""
    phones = [Phone(server, user) for user in [server.new_user()] * 12]
    with ThreadPoolExecutor(len(phones)) as pool:
        answers = list(pool.map(lambda phone: phone.sign_in().status_code, phones))
    assert answers == [201] * 12


def test_new_password_ends_sessions(server: HttpServer, phone: Phone) -> None:
    """With a new password everybody who is signed in by the old one is out."""
    server.administer(lambda accounts: accounts.users.set_password(phone.user, "quite another secret"))
    assert problem(phone.call("GET", "/v1/me")) == (401, "token_invalid")
    assert phone.refresh().status_code == 401
    assert phone.sign_in("quite another secret").status_code == 201


def test_disabled_account(server: HttpServer, phone: Phone) -> None:
    """A disabled account neither signs in nor keeps its sessions."""
    server.administer(lambda accounts: accounts.users.disable(phone.user))
    assert problem(phone.call("GET", "/v1/me")) == (403, "account_disabled")
    assert problem(phone.sign_in()) == (403, "account_disabled")


def test_revoked_device_of_a_disabled_account(server: HttpServer, phone: Phone) -> None:
    """A revoked device hands in its work and learns that it is to wipe itself, though its user is gone too."""
    server.administer(lambda accounts: accounts.users.disable(phone.user))
    server.administer(lambda accounts: accounts.devices.revoke(phone.device))
    assert phone.refresh().status_code == 200
    assert problem(phone.call("GET", "/v1/me")) == (403, "device_revoked")
    assert phone.verdict(phone.change())["code"] == "device_quarantined"


def test_device_of_another_user(server: HttpServer, phone: Phone) -> None:
    """A device id belongs to the user who enrolled it."""
    thief = Phone(server, server.new_user())
    thief.device, thief.key = phone.device, phone.key
    assert problem(thief.sign_in()) == (409, "device_taken")


def test_device_with_another_key(server: HttpServer, phone: Phone) -> None:
    """A device id belongs to the key it was enrolled with."""
    again = Phone(server, phone.user)
    again.device = phone.device
    assert problem(again.sign_in()) == (409, "device_taken")


def test_the_servers_own_device_id(server: HttpServer) -> None:
    """Nobody enrols under the id of the server's own changes."""
    phone = Phone(server, server.new_user())
    phone.device = uuid.UUID("00000000-0000-8000-8000-000000000001")
    assert problem(phone.sign_in()) == (409, "device_taken")


def test_revoked_device(server: HttpServer, phone: Phone) -> None:
    """A revoked device is barred at once from reading, and a new session changes nothing."""
    server.administer(lambda accounts: accounts.devices.revoke(phone.device))
    assert problem(phone.call("GET", "/v1/me")) == (403, "device_revoked")
    assert phone.sign_in().status_code == 201
    assert problem(phone.call("GET", "/v1/me")) == (403, "device_revoked")


def test_enrolling_a_key_needs_its_proof(server: HttpServer) -> None:
    """Nobody enrols a key they do not hold."""
    phone, other = Phone(server, server.new_user()), Phone(server, "other")
    assert problem(phone.sign_in(public_key=other.public_key)) == (401, "proof_invalid")


def test_refresh_rotates(phone: Phone) -> None:
    """A refresh gives new tokens that work."""
    before = phone.refresh_token
    assert phone.refresh().status_code == 200
    assert phone.refresh_token != before
    assert phone.call("GET", "/v1/me").status_code == 200


def test_lost_answer(phone: Phone) -> None:
    """A phone that never saw the answer to its refresh may ask again with the same token, repeatedly."""
    before = phone.refresh_token
    for _ in range(3):
        assert phone.refresh(before).status_code == 200
    assert phone.refresh().status_code == 200


def test_reuse_ends_the_session(phone: Phone) -> None:
    """A refresh token from before the newest one was used ends the session with all its tokens."""
    first = phone.refresh_token
    phone.refresh()
    phone.refresh()
    newest = phone.refresh_token
    assert problem(phone.refresh(first)) == (401, "token_reused")
    assert problem(phone.refresh(newest)) == (401, "token_invalid")
    assert problem(phone.call("GET", "/v1/me")) == (401, "token_invalid")


def test_refresh_needs_the_devices_key(server: HttpServer, phone: Phone) -> None:
    """A stolen refresh token is worth nothing without the device's key."""
    thief = Phone(server, phone.user)
    assert problem(thief.refresh(phone.refresh_token)) == (401, "proof_invalid")


def test_refresh_tokens_end(server: HttpServer, phone: Phone) -> None:
    """After thirty days unused a refresh token is void."""
    server.now_ms += 30 * 24 * 60 * MINUTE
    assert problem(phone.refresh()) == (401, "token_invalid")


def test_sign_out(phone: Phone) -> None:
    """Signing out ends access and refresh tokens at once."""
    assert phone.call("DELETE", "/v1/sessions/current").status_code == 204
    assert problem(phone.call("GET", "/v1/me")) == (401, "token_invalid")
    assert problem(phone.refresh()) == (401, "token_invalid")


def test_me(phone: Phone) -> None:
    """/v1/me says who is signed in on which device."""
    body = phone.call("GET", "/v1/me").json()
    assert (body["user"], body["device"]) == (phone.user, str(phone.device))


def test_expired_access_token(server: HttpServer, phone: Phone) -> None:
    """An access token lives an hour."""
    server.now_ms += 60 * MINUTE
    assert problem(phone.call("GET", "/v1/me")) == (401, "token_expired")


def test_foreign_token(phone: Phone) -> None:
    """A token that another server signed is not taken."""
    header, claims, _ = (phone.access_token or "").split(".")
    assert problem(phone.call("GET", "/v1/me", token=f"{header}.{claims}.{'A' * 86}")) == (401, "token_invalid")


def test_token_of_another_device(server: HttpServer, phone: Phone) -> None:
    """A stolen access token is worth nothing without the device's key."""
    thief = server.signed_in()
    assert problem(thief.call("GET", "/v1/me", token=phone.access_token)) == (401, "proof_invalid")


@pytest.mark.parametrize("off_s", [-121, 121, 1e300])
def test_stale_proof_tells_the_time(server: HttpServer, phone: Phone, off_s: float) -> None:
    """A proof that is off by more than two minutes is answered with the server's time."""
    proof = phone.proof("GET", "/v1/me", phone.access_token, iat=server.now_ms / 1000 + off_s)
    answer = phone.call("GET", "/v1/me", headers={"DPoP": proof})
    assert problem(answer) == (401, "proof_stale")
    assert answer.json()["server_ms"] == server.now_ms


def test_a_clock_two_minutes_off_is_fine(server: HttpServer, phone: Phone) -> None:
    """Phones' clocks are a little off; that does not lock them out."""
    proof = phone.proof("GET", "/v1/me", phone.access_token, iat=server.now_ms / 1000 - 119)
    assert phone.call("GET", "/v1/me", headers={"DPoP": proof}).status_code == 200


@pytest.mark.parametrize(
    "changed", [{"htm": "POST"}, {"htu": "http://x/v1/pull"}, {"ath": "x"}, {"iat": "now"}, {"htu": "http://[/v1/me"}]
)
def test_proof_of_another_call(phone: Phone, changed: dict[str, str]) -> None:
    """A proof holds for one method, path and token only."""
    proof = phone.proof("GET", "/v1/me", phone.access_token, **changed)
    assert problem(phone.call("GET", "/v1/me", headers={"DPoP": proof})) == (401, "proof_invalid")


@pytest.mark.parametrize("proof", ["", "x", "a.b.c", "e30.e30.e30", "." * 50, "W10.W10.W10"])
def test_proof_that_is_none(phone: Phone, proof: str) -> None:
    """Anything but a proof is refused as such."""
    assert problem(phone.call("GET", "/v1/me", headers={"DPoP": proof})) == (401, "proof_invalid")


def test_proxies_may_change_scheme_and_host(phone: Phone) -> None:
    """Of the proof's URL only the path counts."""
    proof = phone.proof("GET", "/v1/me", phone.access_token, htu="https://grid.example/v1/me")
    assert phone.call("GET", "/v1/me", headers={"DPoP": proof}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/me"), ("POST", "/v1/push"), ("POST", "/v1/pull"), ("DELETE", "/v1/sessions/current")],
)
@pytest.mark.parametrize("authorization", ["", "DPoP", "Bearer abc"])
def test_calls_need_a_token(server: HttpServer, method: str, path: str, authorization: str) -> None:
    """Without an access token nothing of a user's is reached."""
    answer = server.client.request(method, path, headers={"Authorization": authorization})
    assert problem(answer) == (401, "token_missing")
    assert answer.headers["www-authenticate"].startswith("DPoP")


@pytest.mark.parametrize(
    "changed", [{"name": ""}, {"name": "a\0"}, {"id": "1"}, {"public_key": "short"}, {"model": "x" * 201}]
)
def test_malformed_device(server: HttpServer, changed: dict[str, str]) -> None:
    """What a device says of itself is checked before anything is stored."""
    assert problem(Phone(server, "someone").sign_in(**changed)) == (400, "body_malformed")


def test_titles_follow_the_language(phone: Phone) -> None:
    """Errors speak Chinese unless the client asks for another language."""
    titles = [
        phone.call("GET", "/v1/nothing", headers=headers).json()["title"]
        for headers in ({}, {"Accept-Language": "en-GB, zh;q=0.5"}, {"Accept-Language": "fr;q=0.1, zh-CN"})
    ]
    assert titles == ["没有找到", "Not found", "没有找到"]


def test_messagepack_sign_in(server: HttpServer) -> None:
    """Every body travels in MessagePack as well."""
    phone = Phone(server, server.new_user())
    device = {"id": phone.device.bytes, "public_key": phone.public_key, "name": "phone"}
    body = {"user": phone.user, "password": PASSWORD, "device": device}
    answer = phone.call("POST", "/v1/sessions", body, wire="application/msgpack", accept=JSON)
    assert answer.json()["device"] == str(phone.device)
