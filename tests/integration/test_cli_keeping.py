"""gridwalk backup, restore, renew-epoch, purge, history, device, serve: keeping a server in order."""

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from field_schemas.access import Role
from server.cli.session import now_ms
from tests.integration.cli import Gridwalk
from tests.integration.http_server import GRID, STREET, HttpServer, Phone

NOBODY = "01938c5e-9d40-7b21-a6c2-90f1e2d3c4b5"


@pytest.fixture
def city(database_url: str, tmp_path: Path) -> Iterator[HttpServer]:
    """A running server of the test's own."""
    with HttpServer(tmp_path / "data", database_url) as running:
        yield running


@pytest.fixture
def gridwalk(database_url: str, tmp_path: Path) -> Gridwalk:
    """The command line on the same database."""
    return Gridwalk(tmp_path, database_url)


@pytest.fixture
def small(sqlite_url: str, tmp_path: Path) -> Gridwalk:
    """The command line on an SQLite database without a server."""
    return Gridwalk(tmp_path, sqlite_url)


def users(gridwalk: Gridwalk) -> int:
    """How many accounts the database has."""
    return gridwalk.well("user", "list").count(" active ")


def test_backup_while_the_server_runs(sqlite_url: str, tmp_path: Path) -> None:
    """A backup holds what was acknowledged, is for its owner only, and the server goes on."""
    gridwalk = Gridwalk(tmp_path, sqlite_url)
    with HttpServer(tmp_path / "data", sqlite_url) as city:
        phone = city.inspector()
        printed = gridwalk.well("backup", tmp_path / "copy.db")
        assert phone.verdict(phone.change())["outcome"] == "applied"
    assert "Keep the signing key" in printed
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    assert users(Gridwalk(tmp_path, f"sqlite:///{tmp_path}/copy.db")) == 1


def test_backup_overwrites_nothing(small: Gridwalk, tmp_path: Path) -> None:
    """An existing file is left alone."""
    (tmp_path / "copy.db").write_text("precious")
    assert "choose another name" in small.fails("backup", tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_backup_without_a_database(tmp_path: Path) -> None:
    """Where there is no database there is nothing to copy, and none is made."""
    assert "there is no database" in Gridwalk(tmp_path).fails("backup", tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_restore_is_refused_while_the_server_runs(sqlite_url: str, tmp_path: Path) -> None:
    """A database that a server has open is not replaced, and not renewed."""
    gridwalk = Gridwalk(tmp_path, sqlite_url)
    gridwalk.well("backup", tmp_path / "copy.db")
    with HttpServer(tmp_path / "data", sqlite_url) as city:
        phone = city.inspector()
        assert "stop the server" in gridwalk.fails("restore", tmp_path / "copy.db")
        assert "stop the server" in gridwalk.fails("renew-epoch")
        assert phone.verdict(phone.change())["outcome"] == "applied"


def test_renewal_is_refused_while_a_server_runs(city: HttpServer, gridwalk: Gridwalk) -> None:
    """On either database the epoch is not renewed under a running server."""
    epoch = city.inspector().pull()["epoch"]
    assert "stop the server" in gridwalk.fails("renew-epoch")
    assert city.inspector().pull()["epoch"] == epoch


def test_restore_keeps_what_it_replaces(small: Gridwalk, tmp_path: Path) -> None:
    """The database that is replaced stands beside the restored one, whole."""
    small.well("backup", tmp_path / "copy.db")
    small.well("user", "add", "li.na", "--name", "李娜", "--password-stdin", stdin="correct-Horse-7-battery\n")
    printed = small.well("restore", tmp_path / "copy.db")
    (aside,) = tmp_path.glob("gridwalk.db.replaced-*")
    assert aside.name in printed
    assert users(small) == 0
    assert users(Gridwalk(tmp_path, f"sqlite:///{aside}")) == 1


def test_restore_on_a_new_machine(small: Gridwalk, tmp_path: Path) -> None:
    """Where there is no database yet the backup becomes it."""
    small.well("backup", tmp_path / "copy.db")
    fresh = Gridwalk(tmp_path, f"sqlite:///{tmp_path}/new/gridwalk.db")
    fresh.well("restore", tmp_path / "copy.db")
    assert users(fresh) == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["gridwalk.db"]


def test_restore_over_a_damaged_database(small: Gridwalk, tmp_path: Path) -> None:
    """A database that cannot be read any more is replaced, and kept."""
    small.well("backup", tmp_path / "copy.db")
    (tmp_path / "gridwalk.db").write_bytes(b"not a database at all" * 1000)
    small.well("restore", tmp_path / "copy.db")
    assert users(small) == 0
    aside = min(tmp_path.glob("gridwalk.db.replaced-*"))
    assert aside.read_bytes().startswith(b"not a database")


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + b"\0" * 5000])
def test_restore_of_something_else(small: Gridwalk, tmp_path: Path, content: bytes) -> None:
    """A file that is no backup replaces nothing."""
    (tmp_path / "copy.db").write_bytes(content)
    assert "no usable backup" in small.fails("restore", tmp_path / "copy.db")
    assert users(small) == 0
    assert not list(tmp_path.glob("gridwalk.db.re*"))


def test_restore_of_a_missing_file(small: Gridwalk, tmp_path: Path) -> None:
    """A file that does not exist is named."""
    assert "copy.db" in small.fails("restore", tmp_path / "copy.db")


@pytest.mark.parametrize(("command", "tool"), [("backup", "pg_dump"), ("restore", "pg_restore")])
def test_postgres_has_its_own_tools(tmp_path: Path, command: str, tool: str) -> None:
    """For PostgreSQL the exact command is printed, without the password."""
    gridwalk = Gridwalk(tmp_path, "postgresql://grid:hidden@db.example/grid walk")
    sentence = gridwalk.fails(command, "copy.dump")
    assert tool in sentence
    assert "db.example" in sentence
    assert "hidden" not in sentence


def test_purge(city: HttpServer, gridwalk: Gridwalk) -> None:
    """A purge says what would go, does it, and then finds nothing; it names the device it waits for."""
    city.now_ms = now_ms()
    phone = city.inspector()
    note = phone.change("note", fields={"grid": GRID, "text": "x"})
    phone.push(note, phone.change("note", record=note["record"], base=2**40, fields={}, delete=True))
    waiting = gridwalk.well("purge")
    assert "0 traces" in waiting
    assert f"kept for device {phone.device}" in waiting
    city.administer(lambda accounts: accounts.devices.revoke(phone.device))
    assert "2 traces of deleted records can go" in gridwalk.well("purge", "--dry-run")
    assert "2 traces of deleted records are gone" in gridwalk.well("purge")
    assert "0 traces of deleted records are gone" in gridwalk.well("purge")


def a_life(city: HttpServer) -> tuple[str, Phone, Phone]:
    """A finding reported by one, changed by another, and once in vain; its id, and their devices."""
    phone, boss = city.inspector(), city.signed_in((f"grid:{STREET}", Role.SUPERVISOR))
    made = phone.change(fields={"kind": "0102", "grid": GRID, "text": "盖板破损"})
    version = phone.verdict(made)["version"]
    record: str = made["record"]
    city.now_ms += 1_000
    better = {"text": "盖板缺失", "contact": "13800138000", "priority": "urgent"}
    boss.verdict(boss.change(record=record, base=version, fields=better))
    city.now_ms += 1_000
    phone.verdict(phone.change(record=record, base=version + 1_000, fields={"state": "closed"}))
    return record, phone, boss


def test_history(city: HttpServer, gridwalk: Gridwalk) -> None:
    """The history tells who changed which field where, from what to what, with the verdict."""
    record, phone, boss = a_life(city)
    printed = gridwalk.well("history", record)
    assert f"Finding {record}: version" in printed
    rows = [re.split(r"\s{2,}", line.strip()) for line in printed.splitlines()]
    (changed,) = [row for row in rows if "盖板破损 → 盖板缺失" in row]
    assert changed[1:5] == [boss.user, "phone", GRID, "applied"]
    assert changed[0].endswith("±1 s")
    assert ["Contact", "13800138000"] in [row[-2:] for row in rows]
    assert "standard → urgent" in printed
    (vain,) = [row for row in rows if "(closed)" in row]
    why = "refused: This step is not possible from the current state"
    assert vain[1:6] == [phone.user, "phone", GRID, why, "State"]


def test_history_tells_of_wrong_clocks(city: HttpServer, gridwalk: Gridwalk) -> None:
    """A device whose clock was wrong is marked with how wrong it was; one whose clock was right is not."""
    phone = city.inspector()
    right, wrong = phone.change(), phone.change()
    wrong |= {"record": right["record"], "base": 1, "fields": {"text": "y"}}
    wrong["captured"] = wrong["captured"] | {"wall_ms": city.now_ms - 2 * 3_600_000, "error_ms": 40}
    right["captured"] = right["captured"] | {"error_ms": 40}
    phone.verdict(right, wrong)
    printed = gridwalk.well("history", right["record"])
    assert (printed.count("clock 2 h behind"), printed.count("clock")) == (1, 1)
    told = json.loads(gridwalk.well("history", right["record"], "--json"))
    assert [step["captured_ms"] - step["wall_ms"] for step in told["steps"]] == [0, 2 * 3_600_000]


def test_history_in_chinese(city: HttpServer, gridwalk: Gridwalk) -> None:
    """Labels and verdicts are in the language of the user."""
    record, _, _ = a_life(city)
    printed = gridwalk.well("--lang", "zh", "history", record)
    assert "问题" in printed
    assert "已采用" in printed
    assert "已退回: 当前状态不允许此步骤" in printed
    assert "优先级" in printed


def test_history_for_programs(city: HttpServer, gridwalk: Gridwalk) -> None:
    """With --json the same is printed for programs."""
    record, phone, boss = a_life(city)
    told = json.loads(gridwalk.well("history", record, "--json"))
    assert (told["record"], told["type"], told["deleted"]) == (record, "finding", False)
    assert [(step["user"], step["outcome"]) for step in told["steps"]] == [
        (phone.user, "applied"),
        (boss.user, "applied"),
        (phone.user, "refused"),
    ]
    assert {step["grid"] for step in told["steps"]} == {GRID}
    assert {"field": "text", "old": "盖板破损", "new": "盖板缺失", "applied": True} in told["steps"][1]["fields"]


def test_history_of_a_deleted_record(city: HttpServer, gridwalk: Gridwalk) -> None:
    """A deleted record still has its history, with who deleted it."""
    phone = city.inspector()
    note = phone.change("note", fields={"grid": GRID, "text": "备注一"})
    phone.push(note, phone.change("note", record=note["record"], base=2**40, fields={}, delete=True))
    printed = gridwalk.well("history", note["record"])
    assert "deleted" in printed.splitlines()[0]
    assert "deletes the record" in printed
    assert "备注一" in printed


def test_history_of_what_was_always_refused(city: HttpServer, gridwalk: Gridwalk) -> None:
    """A record that never came to be has a history too: what was wished for, and why not."""
    phone = city.inspector()
    refused = phone.change("component", fields={"grid": GRID})
    phone.push(refused)
    printed = gridwalk.well("history", refused["record"])
    assert "not on the server" in printed
    assert "refused: A required field is missing" in printed


def test_history_of_nothing(small: Gridwalk) -> None:
    """An id nobody ever sent a change for is named."""
    assert NOBODY in small.fails("history", NOBODY)
    assert "not an id" in small.fails("history", "x")


def test_devices_are_listed_with_their_last_sync(city: HttpServer, gridwalk: Gridwalk) -> None:
    """The list of devices says when each was seen last, and which are revoked."""
    phone = city.inspector()
    gridwalk.well("device", "revoke", str(phone.device))
    printed = gridwalk.well("device", "list")
    assert "last seen" in printed
    (line,) = [line for line in printed.splitlines() if str(phone.device) in line]
    assert len(re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", line)) == 2


def test_revoking_says_what_follows(small: Gridwalk) -> None:
    """The help of revoke tells of quarantine and wipe."""
    printed = small.well("device", "revoke", "--help")
    assert "quarantined" in printed
    assert "wipes" in printed


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody@127.0.0.1:1/gridwalk",
        "postgresql://nobody@host.invalid/gridwalk",
        "sqlite:////proc/none/gridwalk.db",
        "mysql://x/y",
    ],
)
def test_serving_without_a_database(tmp_path: Path, url: str) -> None:
    """A server whose database cannot be reached says so in one sentence and ends."""
    assert "GRIDWALK_DATABASE_URL" in Gridwalk(tmp_path, url).fails("serve", "--port", "0")


def test_serving_a_database_that_is_not_there(tmp_path: Path, postgres_url: str) -> None:
    """A PostgreSQL that has no such database is named as the reason."""
    url = postgres_url.replace("/gridwalk_", "/missing_")
    assert "does not exist" in Gridwalk(tmp_path, url).fails("serve", "--port", "0")
