"""Receipts: the server's signed word on what it holds, checked against what the device did."""

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_sdk import receipts
from client_sdk.errors import Offline, ReceiptInvalid
from client_sdk.reports import SyncState
from field_schemas.types.finding import Finding
from sync.clock import DAY_MS
from sync.messages import ReceiptRequest
from tests.fake_server import FakeServer, Fault, lost
from tests.phones import city, finding, opened, phone

HOUR_MS = 3_600_000


@pytest.fixture
def server() -> FakeServer:
    return city()


async def test_a_sync_that_sent_brings_a_receipt(tmp_path: Path, server: FakeServer) -> None:
    """After a sync that sent something, an hour after the last, the receipt covers all changes; it survives
    reopening."""
    async with phone(tmp_path, server, "li") as li:
        assert li.last_receipt is None
        for held in (2, 4):
            server.time.ms += HOUR_MS
            await li.create(finding())
            await li.create(finding())
            await li.sync()
            assert li.last_receipt is not None
            assert (li.last_receipt.held, li.last_receipt.issued_ms) == (held, server.time.ms)
        kept = li.last_receipt
        await li.create(finding())
        assert li.last_receipt == kept
    async with opened(tmp_path / "li.db", server) as li:
        assert li.last_receipt == kept
        server.time.ms += HOUR_MS
        await li.sync()
        assert li.last_receipt is not None
        assert li.last_receipt.held == 5


async def test_syncs_within_the_hour_ask_for_no_other(tmp_path: Path, server: FakeServer) -> None:
    """Within an hour of a receipt a sync is one request; the user gets one of now by asking."""
    async with phone(tmp_path, server, "li") as li:
        await li.create(finding())
        await li.sync()
        server.time.ms += HOUR_MS // 2
        await li.create(finding())
        await li.sync()
        assert li.last_receipt is not None
        assert li.last_receipt.held == 1
        assert (await li.receipt()).held == 2


async def test_a_sync_that_sent_nothing_asks_for_none(tmp_path: Path, server: FakeServer) -> None:
    """Where nothing is new, no receipt is asked for, unless the user asks: then it is of now."""
    async with phone(tmp_path, server, "li") as li:
        await li.create(finding())
        await li.sync()
        await li.sync()
        assert server.requests.count("POST /v1/receipts") == 1
        server.time.ms += 1_000
        receipt = await li.receipt()
        assert (receipt.held, receipt.issued_ms) == (1, server.time.ms)
        assert li.last_receipt == receipt


async def test_a_lost_receipt_is_asked_for_again(tmp_path: Path, server: FakeServer) -> None:
    """A receipt that got lost on its way comes with the next sync, although that one sends nothing."""
    async with phone(tmp_path, server, "li") as li:
        await li.create(finding())
        server.after.extend([None, lost])
        with pytest.raises(Offline):
            await li.sync()
        assert li.last_receipt is None
        await li.sync()
        assert li.last_receipt is not None


async def test_many_changes_come_in_pages(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receipt for more changes than a page holds is built up page by page into one chain."""
    monkeypatch.setattr(receipts, "_PAGE", 3)
    async with phone(tmp_path, server, "li") as li:
        for n in range(8):
            await li.create(finding(f"{n}"))
        await li.sync()
        assert li.last_receipt is not None
        assert li.last_receipt.held == 8
        assert server.requests.count("POST /v1/receipts") == 3


async def test_another_key_is_not_believed(tmp_path: Path, server: FakeServer) -> None:
    """A receipt by another key than at the sign-in is an error, also when tokens are renewed; work goes on, and
    copies are compared."""
    async with phone(tmp_path, server, "li") as li:
        await li.sync()
        server.accounts.key = Ed25519PrivateKey.generate()
        server.time.ms += DAY_MS
        made = await li.create(finding())
        before = server.requests.count("POST /v1/digests")
        with pytest.raises(ReceiptInvalid, match="receipt_invalid"):
            await li.sync()
        assert li.last_receipt is None
        assert li.status.state is SyncState.FAILED
        assert made.id in server.state.records
        assert await li.pending() == []
        assert server.requests.count("POST /v1/digests") > before


async def test_another_key_is_believed_with_the_password(tmp_path: Path, server: FakeServer) -> None:
    """Where the server's key is lost, who signs in takes the new one; what the old one signed is shown no more."""
    async with phone(tmp_path, server, "li") as li:
        await li.create(finding())
        await li.sync()
        server.accounts.key = Ed25519PrivateKey.generate()
        await li.sign_in("li", "secret")
        assert li.last_receipt is None
        await li.create(finding())
        await li.sync()
        assert li.last_receipt is not None
        assert li.last_receipt.held == 2


def falsified(server: FakeServer, **claims: object) -> Fault:
    """An answer that is well signed but says something else."""

    async def answer(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("/receipts"):
            return None
        asked = msgspec.msgpack.decode(request.content, type=ReceiptRequest)
        true = {
            "iss": "gridwalk", "user": "li", "device": str(server.accounts.sessions[0].device),
            "held": len(asked.changes),
            "chain": "0" * 64, "epoch": str(server.state.epoch), "issued_ms": server.time.ms,
        }  # fmt: skip
        text = jwt.encode({**true, **claims}, server.accounts.key, algorithm="EdDSA")
        body = msgspec.msgpack.encode({"receipt": text})
        return httpx.Response(200, content=body, headers={"content-type": "application/msgpack"})

    return answer


@pytest.mark.parametrize("claim", ["chain", "held", "user", "device", "epoch"])
async def test_a_receipt_for_something_else_is_not_shown(tmp_path: Path, server: FakeServer, claim: str) -> None:
    """A signed receipt about another chain, count, user, device or contents is refused and never shown."""
    wrong = {"held": 9, "user": "wang", "device": "0190a5c0-0000-7000-8000-000000000009",
             "epoch": "0190a5c0-0000-7000-8000-000000000009", "chain": "1" * 64}  # fmt: skip
    async with phone(tmp_path, server, "li") as li:
        await li.create(finding())
        # Once may be an accident (a server that was just restored): the device asks again.
        server.after.extend([None, falsified(server, **{claim: wrong[claim]})] * 2)
        with pytest.raises(ReceiptInvalid):
            await li.sync()
        assert li.last_receipt is None


@pytest.mark.parametrize("lost_one", [0, 1, 2])
async def test_a_change_the_server_lost_is_sent_again(tmp_path: Path, server: FakeServer, lost_one: int) -> None:
    """When the server does not know a change it had acknowledged, that one and the later ones are sent again."""
    async with phone(tmp_path, server, "li") as li:
        for n in range(3):
            await li.create(finding(f"{n}"))
        changes = [one.change for one in await li.pending()]

        async def lose(_request: httpx.Request) -> None:
            server.lose_change(changes[lost_one])

        server.after.append(lose)
        await li.sync()
        assert server.state.log.keys() >= set(changes)
        assert li.last_receipt is not None
        assert li.last_receipt.held == 3
        assert len(await li.find(Finding)) == 3


async def test_a_server_that_loses_everything_always_gets_no_good_receipt(tmp_path: Path, server: FakeServer) -> None:
    """Sending again is bounded: a server that keeps losing changes ends in an error, with nothing shown as good."""
    async with phone(tmp_path, server, "li") as li:
        await li.create(finding())
        (pending,) = await li.pending()

        async def lose(_request: httpx.Request) -> None:
            server.lose_change(pending.change)

        server.after.extend([lose] * 50)
        with pytest.raises(ReceiptInvalid):
            await li.sync()
        assert li.last_receipt is None
        assert (await li.receipt()).held == 0


async def test_after_a_restore_receipts_begin_anew(tmp_path: Path, server: FakeServer) -> None:
    """A restored server gives receipts for its new contents from the first change on; the old one is not shown."""
    async with phone(tmp_path, server, "li") as li:
        await li.create(finding("一"))
        await li.sync()
        backup = server.state
        await li.create(finding("二"))
        await li.sync()
        await server.restore(backup)
        server.after.extend([None, lost])
        with pytest.raises(Offline):
            await li.sync()
        assert li.last_receipt is None
        await li.sync()
        assert li.last_receipt is not None
        assert (li.last_receipt.held, li.last_receipt.epoch) == (2, server.state.epoch)


async def test_outdated_verdicts_are_asked_for_again(tmp_path: Path, server: FakeServer) -> None:
    """Where the server judged a change otherwise than is known here, the device learns the verdict that stands."""
    async with phone(tmp_path, server, "li") as li:
        server.after.extend([None, lost])
        await li.create(finding())
        with pytest.raises(Offline):
            await li.sync()
    with closing(sqlite3.connect(tmp_path / "li.db")) as db, db:
        db.execute("UPDATE outbox SET outcome = 'refused'")
    async with opened(tmp_path / "li.db", server) as li:
        await li.create(finding())
        await li.sync()
        assert [one.outcome for one in await li.verdicts()] == ["applied", "applied"]
        assert li.last_receipt is not None
        assert li.last_receipt.held == 2
