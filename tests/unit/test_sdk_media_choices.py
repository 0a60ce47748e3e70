"""What the user asks of photos and videos that makes no sense, or was asked before."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from client_sdk import Invalid, MediaState, Urgency
from field_schemas.types.finding import Finding
from tests.fake_server import FakeServer
from tests.phones import city, finding, phone
from tests.unit.media import photo, put


@pytest.fixture
def server() -> FakeServer:
    """A small city."""
    return city()


@pytest.mark.parametrize("wrong", ["video", 2, None])
async def test_wifi_only_of_what_there_is_not(tmp_path: Path, server: FakeServer, wrong: Any) -> None:
    """Anything but an urgency is refused at the call, and what was chosen before holds."""
    async with phone(tmp_path, server, "li", wifi=True) as li:
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
        await li.wifi_only(Urgency.PHOTO)
        with pytest.raises(Invalid) as caught:
            await li.wifi_only(wrong)
        assert caught.value.code == "parameter_invalid"
    async with phone(tmp_path, server, "li", wifi=True) as li:
        rules = await li._store.run(lambda tables: tables.meta.media_rules)
        assert rules.wifi_only == (Urgency.PHOTO,)


@pytest.mark.parametrize("broken", [b"", b"\xc1", msgspec.msgpack.encode({"wifi_only": ["video"]})])
async def test_choices_that_cannot_be_read(tmp_path: Path, server: FakeServer, broken: bytes) -> None:
    """Choices that a store holds broken are as if never made: nothing stops for them, and they can be made anew."""
    async with phone(tmp_path, server, "li", wifi=True) as li:
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
        await li._store.run(lambda tables: tables.meta._write("media_rules", broken))
    async with phone(tmp_path, server, "li", wifi=True) as li:
        await li.sync()
        (item,) = await li.media()
        assert item.state is MediaState.HELD
        await li.wifi_only(Urgency.VIDEO)
        rules = await li._store.run(lambda tables: tables.meta.media_rules)
        assert rules.wifi_only == (Urgency.VIDEO,)


async def test_the_same_photo_again(tmp_path: Path, server: FakeServer) -> None:
    """A photo attached once more to one record is named there once, whatever the caller's copy says."""
    async with phone(tmp_path, server, "li", wifi=True) as li:
        made = await li.create(finding())
        file = put(tmp_path, "a.jpg", photo(1))
        first = await li.attach(made, file)
        stale, fresh = await li.attach(made, file), await li.attach(first.record, file)
        assert stale.record.media == fresh.record.media == [first.ref]
        await li.sync()
        assert len(await li.media()) == 1
        (kept,) = await li.find(Finding)
        assert kept.media == [first.ref]
