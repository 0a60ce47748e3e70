"""Settings: where they come from, and what is said of one that cannot be used."""

from pathlib import Path

import pytest

from server.settings import Settings, SettingsError, environment_of, load_settings


def test_defaults_need_nothing(tmp_path: Path) -> None:
    """Without file and environment the server keeps everything in one folder."""
    settings = load_settings({}, tmp_path).settings
    assert settings.database_url == "sqlite:///gridwalk-data/gridwalk.db"
    assert settings.key_file == "gridwalk-data/server.key"
    assert (settings.host, settings.port) == ("127.0.0.1", 8440)


def test_the_data_folder_takes_the_files_with_it(tmp_path: Path) -> None:
    """Database and key follow `data_dir` unless they are named."""
    settings = load_settings({"GRIDWALK_DATA_DIR": "/srv/gw"}, tmp_path).settings
    assert (settings.database_url, settings.key_file) == ("sqlite:////srv/gw/gridwalk.db", "/srv/gw/server.key")


def test_environment_over_file_over_default(tmp_path: Path) -> None:
    """A variable outweighs the file, which outweighs the default; each says where it came from."""
    (tmp_path / "gridwalk.toml").write_text('port = 9000\nhost = "::1"\nrecord_types = ["trees"]\n')
    loaded = load_settings({"GRIDWALK_PORT": "9001"}, tmp_path)
    assert (loaded.settings.port, loaded.settings.host, loaded.settings.record_types) == (9001, "::1", ["trees"])
    sources = {row.name: row.source for row in loaded.rows()}
    assert sources["port"] == "GRIDWALK_PORT"
    assert sources["host"] == str(tmp_path / "gridwalk.toml")
    assert sources["workers"] == "default"


def test_lists_are_separated_by_commas(tmp_path: Path) -> None:
    """A list in the environment is separated by commas."""
    loaded = load_settings({"GRIDWALK_RECORD_TYPES": "trees, dogs"}, tmp_path)
    assert loaded.settings.record_types == ["trees", "dogs"]


def test_another_file(tmp_path: Path) -> None:
    """GRIDWALK_CONFIG names the file."""
    (tmp_path / "other.toml").write_text("port = 9002\n")
    assert load_settings({"GRIDWALK_CONFIG": "other.toml"}, tmp_path).settings.port == 9002


def test_passwords_are_masked(tmp_path: Path) -> None:
    """No password of a database is shown."""
    loaded = load_settings({"GRIDWALK_DATABASE_URL": "postgresql://me:p@ss:w@db/gw"}, tmp_path)
    assert {row.name: row.value for row in loaded.rows()}["database_url"] == "postgresql://me:***@db/gw"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("GRIDWALK_PORT", "abc", "GRIDWALK_PORT = abc: allowed is a whole number from 0 to 65535"),
        ("GRIDWALK_PORT", "70000", "GRIDWALK_PORT = 70000: allowed is a whole number from 0 to 65535"),
        ("GRIDWALK_LOG_FORMAT", "xml", "GRIDWALK_LOG_FORMAT = xml: allowed are text, json"),
        ("GRIDWALK_DATABASE_URL", "mysql://a:b@c", "GRIDWALK_DATABASE_URL = mysql://a:***@c: allowed is text"),
        ("GRIDWALK_CONFIG", "none.toml", "GRIDWALK_CONFIG=none.toml: there is no such file"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, variable: str, value: str, said: str) -> None:
    """An error names the variable, its value and what is allowed."""
    with pytest.raises(SettingsError) as caught:
        load_settings({variable: value}, tmp_path)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "gridwalk.toml: prot: there is no such setting; did you mean port?"),
        ('port = "x"', "gridwalk.toml: port = x: allowed is a whole number"),
        ("port = [1", "gridwalk.toml"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, said: str) -> None:
    """An error in the file names the file and the setting."""
    (tmp_path / "gridwalk.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings({}, tmp_path)
    assert said in str(caught.value)


def test_every_setting_is_explained_in_both_languages(tmp_path: Path) -> None:
    """Every setting says what it is for."""
    rows = load_settings({}, tmp_path).rows()
    assert [row.name for row in rows] == list(Settings.__struct_fields__)
    assert all(row.label.zh and row.label.en for row in rows)


def test_another_process_gets_the_same(tmp_path: Path) -> None:
    """Settings survive the way through the environment."""
    settings = Settings(port=1, record_types=["a", "b"], data_dir="x y", workers=3)
    assert load_settings(environment_of(settings), tmp_path).settings == settings
