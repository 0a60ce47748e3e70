"""gridwalk user, grant, device, init, settings: what an administrator does, and undoes."""

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.integration.cli import Gridwalk

PASSWORD = "correct-Horse-7-battery"


@pytest.fixture
def gridwalk(tmp_path: Path, sqlite_url: str) -> Gridwalk:
    return Gridwalk(tmp_path, sqlite_url)


@pytest.fixture
def with_li(gridwalk: Gridwalk) -> Gridwalk:
    gridwalk.well("user", "add", "li.na", "--name", "李娜", "--password-stdin", stdin=PASSWORD + "\n")
    return gridwalk


def test_accounts_are_made_barred_and_let_in_again(with_li: Gridwalk) -> None:
    """An account is listed as active, after disable as disabled, after enable as active."""
    states = []
    for command in ("list", "disable", "enable"):
        if command != "list":
            with_li.well("user", command, "li.na")
        (line,) = [line for line in with_li.well("user", "list").splitlines() if "li.na" in line]
        assert "李娜" in line
        states.append(line.split()[2])
    assert states == ["active", "disabled", "active"]


def test_password_is_read_from_standard_input(with_li: Gridwalk) -> None:
    """A password comes by standard input or from a terminal, never as an argument."""
    with_li.well("user", "password", "li.na", "--password-stdin", stdin=PASSWORD + "x\n")
    assert "--password-stdin" in with_li.fails("user", "password", "li.na")


def test_weak_password_is_refused(gridwalk: Gridwalk) -> None:
    """A password against the policy is refused in one sentence, and no account is made."""
    gridwalk.fails("user", "add", "li.na", "--password-stdin", stdin="short\n")
    assert "li.na" not in gridwalk.well("user", "list")


def test_unknown_account(gridwalk: Gridwalk) -> None:
    """A command about an account that does not exist says so."""
    assert "wang.wei" in gridwalk.fails("user", "disable", "wang.wei")
    assert "wang.wei" in gridwalk.fails("grant", "give", "wang.wei", "inspector", "grid:440304001")


def test_grant_is_given_and_ended_by_number(with_li: Gridwalk) -> None:
    """A grant is told with its number, by which it is ended; the list keeps it as ended."""
    said = with_li.well("grant", "give", "li.na", "inspector", "grid:440304001")
    number = re.findall(r"Grant (\d+)", said)[0]
    assert "holds" in with_li.well("grant", "list", "li.na")
    with_li.well("grant", "end", number)
    assert "ended" in with_li.well("grant", "list")


def test_grant_is_ended_by_what_it_says(with_li: Gridwalk) -> None:
    """A grant is ended by user, role and scope too; where there is none, the command says so."""
    words = ("li.na", "inspector", "grid:440304001")
    with_li.well("grant", "give", *words)
    with_li.well("grant", "end", *words)
    assert "inspector" in with_li.fails("grant", "end", *words)


def test_grant_in_the_future(with_li: Gridwalk) -> None:
    """A grant can begin and end at given times."""
    period = ("--from", "2999-01-01T08:00:00+08:00", "--until", "2999-02-01")
    with_li.well("grant", "give", "li.na", "supervisor", "grid:440304", *period)
    assert "not yet" in with_li.well("grant", "list")
    assert "is not a time" in with_li.fails("grant", "give", "li.na", "supervisor", "grid:440304", "--from", "soon")


def test_wrong_scope_names_the_right_ones(with_li: Gridwalk) -> None:
    """A scope that is none is refused with those that are."""
    assert "6, 9, 12 or 15 digits" in with_li.fails("grant", "give", "li.na", "inspector", "grid:44")


def test_device_that_does_not_exist(gridwalk: Gridwalk) -> None:
    """Revoking takes the id of an enrolled device."""
    assert "not an id" in gridwalk.fails("device", "revoke", "phone")
    unknown = "0190a5c0-0000-7000-8000-00000000d001"
    assert unknown in gridwalk.fails("device", "revoke", unknown)
    assert "enrolled" in gridwalk.well("device", "list")


def test_mistyped_command(gridwalk: Gridwalk) -> None:
    """A command, option or role that does not exist ends with exit code 2 and a way on."""
    for words in (("fly",), ("user", "add"), ("serve", "--prot", "1"), ("grant", "give", "li.na", "king", "all:")):
        printed = gridwalk(*words)
        assert printed.code == 2
        assert "--help" in printed.err


def test_messages_in_chinese(gridwalk: Gridwalk) -> None:
    """--lang and GRIDWALK_LANG choose the language of messages, --lang first."""
    assert "没有" in gridwalk.fails("--lang", "zh", "export", "--type", "shop")
    gridwalk.environment["GRIDWALK_LANG"] = "zh_CN.UTF-8"
    assert "没有" in gridwalk.fails("export", "--type", "shop")
    assert "there is no" in gridwalk.fails("--lang", "en", "export", "--type", "shop")


def test_output_into_an_ascii_pipe(gridwalk: Gridwalk) -> None:
    """Chinese words come out where the system's encoding is ASCII."""
    gridwalk.environment |= {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    assert "账户" in gridwalk.well("--lang", "zh", "user", "list")


def test_no_setup_is_needed_on_sqlite(tmp_path: Path) -> None:
    """Without any settings a command makes its database file and works."""
    gridwalk = Gridwalk(tmp_path)
    gridwalk.well("user", "add", "li.na", "--password-stdin", stdin=PASSWORD + "\n")
    assert (tmp_path / "data" / "gridwalk.db").exists()


def test_init_again_changes_nothing(tmp_path: Path) -> None:
    """init makes database and key; again it keeps both."""
    gridwalk = Gridwalk(tmp_path)
    gridwalk.well("init")
    key = (tmp_path / "data" / "server.key").read_bytes()
    gridwalk.well("user", "add", "li.na", "--password-stdin", stdin=PASSWORD + "\n")
    gridwalk.well("init")
    assert (tmp_path / "data" / "server.key").read_bytes() == key
    assert "li.na" in gridwalk.well("user", "list")


def test_shared_database_wants_init(tmp_path: Path, postgres_url: str) -> None:
    """A PostgreSQL database that was never set up is not changed by the way: the command names init."""
    never_set_up = make_url(postgres_url).set(database="postgres").render_as_string(hide_password=False)
    bare = Gridwalk(tmp_path, never_set_up)
    assert "gridwalk init" in bare.fails("user", "list")
    assert "user" in Gridwalk(tmp_path, postgres_url).well("user", "list")


def test_database_that_does_not_answer(tmp_path: Path) -> None:
    """A database that cannot be reached, or is none, is one sentence that names the setting."""
    for url in ("postgresql://nobody@127.0.0.1:1/x", f"sqlite:///{tmp_path}", "mysql://x/y"):
        assert "GRIDWALK_DATABASE_URL" in Gridwalk(tmp_path, url).fails("user", "list")


def test_settings_show_where_they_come_from(tmp_path: Path) -> None:
    """Every setting is listed with value and source; passwords are masked."""
    gridwalk = Gridwalk(tmp_path, "postgresql://me:secret@host/db", GRIDWALK_PORT="9000")
    printed = gridwalk.well("settings")
    assert re.search(r"port +9000 +GRIDWALK_PORT", printed)
    assert "secret" not in printed


def test_wrong_setting_is_one_sentence(tmp_path: Path) -> None:
    """A setting that cannot be used is named with what is allowed."""
    assert "GRIDWALK_PORT" in Gridwalk(tmp_path, GRIDWALK_PORT="many").fails("user", "list")


def test_serve_where_another_serves(tmp_path: Path, sqlite_url: str) -> None:
    """A port that is taken is one sentence."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert "--port" in Gridwalk(tmp_path, sqlite_url).fails("serve", "--port", port)


def test_bare_install_says_what_to_install(tmp_path: Path) -> None:
    """Without the server's packages the command names the extra to install."""
    blocked = "import sys; sys.modules['click'] = None; import gridwalk; gridwalk.main()"
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert b"pip install 'gridwalk[server]'" in done.stderr


def test_console_entry_is_installed() -> None:
    """The command is on the path of the environment."""
    assert shutil.which("gridwalk", path=str(Path(sys.executable).parent))


def test_files_are_private(tmp_path: Path) -> None:
    """What the commands make is for nobody else to read: it holds password hashes and what people reported."""
    gridwalk = Gridwalk(tmp_path)
    gridwalk.well("init")
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "data").iterdir()} == {0}


def test_no_place_for_an_export(tmp_path: Path) -> None:
    """An export that cannot be written says so, and does not blame the database."""
    gridwalk = Gridwalk(tmp_path)
    gridwalk.well("init")
    assert "/nope/x" in gridwalk.fails("export", "--type", "note", "-o", "/nope/x")


def test_types_that_cannot_be_loaded(tmp_path: Path) -> None:
    """A package of record types that does not exist is named, before anything starts."""
    gridwalk = Gridwalk(tmp_path, GRIDWALK_RECORD_TYPES="no_such_city")
    assert "no_such_city" in gridwalk.fails("serve")


def test_password_in_a_url_is_masked(tmp_path: Path) -> None:
    """The list of settings shows no password, wherever it stands in the URL."""
    gridwalk = Gridwalk(tmp_path, "postgresql://host/city?user=u&password=geheim")
    assert "geheim" not in gridwalk.well("settings")


@pytest.mark.parametrize(("language", "sentence"), [("zh", "至少 10 个字符"), ("en", "at least 10 characters")])
def test_a_weak_password_in_one_language(tmp_path: Path, language: str, sentence: str) -> None:
    """What a password lacks is said in the user's language, and in that only."""
    gridwalk = Gridwalk(tmp_path, GRIDWALK_LANG=language)
    told = gridwalk.fails("user", "add", "li.na", "--password-stdin", stdin="short-1\n")
    assert told.partition("：" if language == "zh" else "policy: ")[2] == sentence
