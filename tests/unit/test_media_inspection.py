"""Files are opened in a child with limits: whatever they hold costs no more, and the server goes on."""

import asyncio
import os
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from field_schemas.media_findings import CheckFinding
from media.inspection.facts import Facts, Limits
from media.inspection.inspector import Inspector
from media.inspection.system_calls import MACHINES, filter_program
from media.perceptual import distance_bits
from tests.films import film
from tests.heic import heic
from tests.malformed import bad_files, png_of_zeros
from tests.photos import Shot, encoded, exif_of, photo, scene

Put = Callable[[bytes], Path]


@pytest.fixture
async def inspector() -> AsyncIterator[Inspector]:
    """An inspector with the usual limits."""
    async with Inspector() as made:
        yield made


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes bytes to a file of no telling name."""

    def write(data: bytes) -> Path:
        path = tmp_path / f"blob-{len(list(tmp_path.iterdir()))}"
        path.write_bytes(data)
        return path

    return write


def codes(facts: Facts) -> set[str]:
    """The codes of what is wrong with a file."""
    return {fault.code for fault in facts.faults}


def child_of(inspector: Inspector) -> int:
    """The process id of the running child."""
    assert inspector._child is not None
    return inspector._child.pid


def is_gone(pid: int) -> bool:
    """Whether the process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_photo(inspector: Inspector, put: Put) -> None:
    """An intact photo: digest, EXIF, size, fingerprint, a thumbnail like its picture, and no faults."""
    data = photo(Shot(thumbnail_seed=1))
    facts = await inspector.inspect(put(data))
    assert (facts.media_type, facts.size_bytes, facts.faults) == ("image/jpeg", len(data), ())
    assert facts.digest.startswith("sha256:")
    assert facts.photo is not None
    assert facts.photo.model == "P60"
    assert facts.fingerprint is not None
    assert facts.thumbnail_bits is not None
    assert facts.thumbnail_bits <= 6


async def test_digest_by_sm3(inspector: Inspector, put: Put) -> None:
    """The digest can be SM3 (the vector of GB/T 32905)."""
    facts = await inspector.inspect(put(b"abc"), "sm3")
    assert facts.digest == "sm3:66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


async def test_thumbnail_of_another_scene(inspector: Inspector, put: Put) -> None:
    """An embedded thumbnail of another picture is far from its picture."""
    facts = await inspector.inspect(put(photo(Shot(thumbnail_seed=2))))
    assert facts.thumbnail_bits is not None
    assert facts.thumbnail_bits > 20


async def test_thumbnail_with_bars(inspector: Inspector, put: Put) -> None:
    """The thumbnail of a wide picture is compared without the black bars that fill it up to 4:3."""
    facts = await inspector.inspect(put(photo(Shot(size=(1280, 720), thumbnail_seed=1))))
    assert facts.thumbnail_bits is not None
    assert facts.thumbnail_bits <= 6


async def test_orientation_does_not_hide_reuse(inspector: Inspector, put: Put) -> None:
    """A picture turned by its orientation has another fingerprint than as it lies: it is hashed as it is seen."""
    lying = await inspector.inspect(put(photo(Shot())))
    turned = await inspector.inspect(put(photo(Shot(orientation=6))))
    assert lying.fingerprint != turned.fingerprint


async def test_heic(inspector: Inspector, put: Put) -> None:
    """A HEIC is decoded, and has the fingerprint of the same picture in a JPEG."""
    picture = scene(1, (256, 192))
    found = await inspector.inspect(put(heic(picture, exif_of(Shot()))))
    other = await inspector.inspect(put(encoded(picture)))
    assert (found.media_type, found.faults) == ("image/heic", ())
    assert found.fingerprint is not None
    assert other.fingerprint is not None
    assert distance_bits(found.fingerprint, other.fingerprint) <= 6


async def test_video(inspector: Inspector, put: Put) -> None:
    """A film is read by its container."""
    facts = await inspector.inspect(put(film()))
    assert (facts.media_type, facts.faults) == ("video/mp4", ())
    assert facts.video is not None
    assert facts.video.height == 1080


async def test_malformed_files(inspector: Inspector, put: Put) -> None:
    """Every file of the corpus gets its findings from one and the same child, which then still reads a photo."""
    bad = bad_files()
    good = put(photo(Shot()))
    assert (await inspector.inspect(good)).faults == ()
    pid = child_of(inspector)
    found = {file.name: codes(await inspector.inspect(put(file.data))) for file in bad}
    assert found == {file.name: set(file.codes) for file in bad}
    assert (await inspector.inspect(good)).faults == ()
    assert child_of(inspector) == pid


async def test_findings_do_not_tell_where_files_are(inspector: Inspector, put: Put) -> None:
    """What is found goes out to phones: it says nothing of the server's folders."""
    files = [put(file.data) for file in bad_files()]
    files += [put(head) for head in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP")]
    for file in files:
        said = [fault.found or "" for fault in (await inspector.inspect(file)).faults]
        assert [one for one in said if str(file.parent) in one or file.name in one] == []


async def test_decoder_that_crashes(inspector: Inspector, put: Put) -> None:
    """A HEIC whose EXIF belongs to no picture crashes libheif 1.23: one finding, and the next file is read."""
    bad = heic(scene(1, (96, 64)), exif_of(Shot())).replace(b"iref", b"none")
    assert codes(await inspector.inspect(put(bad))) <= {"inspection_stopped"}
    assert (await inspector.inspect(put(photo(Shot())))).faults == ()


async def test_missing_file(inspector: Inspector, tmp_path: Path) -> None:
    """A file that is not there is unreadable, not an error."""
    assert codes(await inspector.inspect(tmp_path / "nowhere")) == {"file_unreadable"}


async def test_too_much_memory(put: Put) -> None:
    """A picture that wants more memory than allowed is given up with its child; the next file has a fresh one."""
    limits = Limits(memory_bytes=256 * 2**20, decoded_pixels=400_000_000)
    async with Inspector(limits) as inspector:
        facts = await inspector.inspect(put(png_of_zeros(14_000, 14_000)))
        assert codes(facts) == {"inspection_stopped"}
        assert (await inspector.inspect(put(photo(Shot())))).faults == ()


async def test_film_larger_than_the_memory(tmp_path: Path) -> None:
    """A film is read through whatever its size: digest, time and place of one larger than the memory allowed."""
    path, size = tmp_path / "film", 400 * 2**20
    head = film(datetime(2026, 11, 20, tzinfo=UTC), "+22.5410+114.0590/")[:-72]
    with path.open("wb") as file:
        file.write(head + (1).to_bytes(4, "big") + b"mdat" + (size - len(head)).to_bytes(8, "big"))
        file.truncate(size)
    async with Inspector(Limits(memory_bytes=256 * 2**20)) as inspector:
        facts = await inspector.inspect(path)
    assert (facts.faults, facts.size_bytes) == ((), size)
    assert facts.digest.startswith("sha256:")
    assert facts.video is not None
    assert facts.video.position is not None


def test_large_files_have_more_time() -> None:
    """The time a file may take grows by what reading it takes."""
    limits = Limits(bytes_per_s=1_000)
    assert [limits.more_s(size) for size in (0, 999, 2_500_000)] == [0, 0, 2_500]


async def test_too_much_time(tmp_path: Path, put: Put) -> None:
    """A file that never ends is given up after the time allowed, and its child is killed."""
    endless = tmp_path / "endless"
    os.mkfifo(endless)
    async with Inspector(Limits(wall_s=0.3)) as inspector:
        await inspector.inspect(put(b"abc"))
        pid = child_of(inspector)
        assert await inspector.inspect(endless) == Facts(
            faults=(CheckFinding("inspection_stopped", "more than 0.3 s"),)
        )
        assert is_gone(pid)


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL])
async def test_child_ended_from_outside(tmp_path: Path, put: Put, inspector: Inspector, ended_by: int) -> None:
    """A child that somebody ends, under way or before, says nothing of the file: a fresh one is asked."""
    data = photo(Shot())
    await inspector.inspect(put(b"abc"))
    slow = tmp_path / "slow"
    os.mkfifo(slow)
    asked = asyncio.create_task(inspector.inspect(slow))
    await asyncio.sleep(0)
    os.kill(child_of(inspector), ended_by)
    slow.unlink()
    slow.write_bytes(data)
    assert (await asked).faults == ()
    os.kill(child_of(inspector), ended_by)
    assert (await inspector.inspect(put(data))).faults == ()


class Unlucky(Inspector):
    """One whose first children are killed as they start."""

    left = 2

    async def _start(self) -> asyncio.subprocess.Process:
        child = await super()._start()
        if self.left:
            self.left -= 1
            child.kill()
        return child


async def test_child_ended_again_and_again(put: Put) -> None:
    """A file over which two children were ended gets that finding, and the next one is looked into."""
    path = put(photo(Shot()))
    async with Unlucky() as inspector:
        stopped = CheckFinding("inspection_stopped", "the child ended by SIGKILL")
        assert await inspector.inspect(path) == Facts(faults=(stopped,))
        assert (await inspector.inspect(path)).faults == ()


async def test_asker_who_goes_away(tmp_path: Path, put: Put, inspector: Inspector) -> None:
    """A cancelled request takes its child along: its answer never meets the next request."""
    endless = tmp_path / "endless"
    os.mkfifo(endless)
    await inspector.inspect(put(b"abc"))
    pid = child_of(inspector)
    asked = asyncio.create_task(inspector.inspect(endless))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert is_gone(pid)
    assert (await inspector.inspect(put(photo(Shot())))).media_type == "image/jpeg"


async def test_child_makes_place(put: Put) -> None:
    """After its number of files a child is replaced."""
    async with Inspector(Limits(files_per_child=2)) as inspector:
        path = put(photo(Shot()))
        await inspector.inspect(path)
        first = child_of(inspector)
        await inspector.inspect(path)
        await inspector.inspect(path)
        assert is_gone(first)


async def test_requests_wait_for_each_other(put: Put, inspector: Inspector) -> None:
    """Requests at once get each their own answer."""
    paths = [put(photo(Shot(size=(64 + 16 * at, 64)))) for at in range(6)]
    found = await asyncio.gather(*(inspector.inspect(path) for path in paths))
    assert [facts.photo.width for facts in found if facts.photo] == [64 + 16 * at for at in range(6)]


_TRY = """
import os, resource, signal, socket, sys, threading
from media.inspection.confinement import confine
from media.inspection.facts import Limits
def attempt(deed):
    try:
        if deed() == 0 and deed is os.fork:
            os._exit(0)
        return "done"
    except OSError as error:
        return type(error).__name__
confine(Limits())
kept, parent = sys.argv[1], os.getppid()
def change_open():
    with open(kept, "rb") as file:
        os.ftruncate(file.fileno(), 0)
def signal_through_a_pipe():
    import fcntl
    fcntl.fcntl(0, fcntl.F_SETOWN, parent)
def limit_parent():
    resource.prlimit(parent, resource.RLIMIT_NOFILE, (64, 64))
def read():
    with open(kept, "rb") as file:
        file.read()
def thread():
    worker = threading.Thread(target=int)
    worker.start()
    worker.join()
forbidden = {
    "socket": socket.socket, "fork": os.fork, "execute": lambda: os.execv("/bin/true", ["true"]),
    "write": lambda: open(kept, "r+b"), "append": lambda: open(kept, "ab"), "create": lambda: open(kept + "2", "wb"),
    "nameless": lambda: os.open(os.path.dirname(kept), os.O_TMPFILE | os.O_WRONLY),
    "unlink": lambda: os.unlink(kept), "rename": lambda: os.rename(kept, kept + "2"),
    "truncate": lambda: os.truncate(kept, 0), "truncate open": change_open,
    "link": lambda: os.link(kept, kept + "2"), "symlink": lambda: os.symlink(kept, kept + "2"),
    "chmod": lambda: os.chmod(kept, 0o777), "chown": lambda: os.chown(kept, -1, -1),
    "utime": lambda: os.utime(kept), "mkdir": lambda: os.mkdir(kept + "2"),
    "mkfifo": lambda: os.mkfifo(kept + "2"), "xattr": lambda: os.setxattr(kept, "user.a", b"1"),
    "kill": lambda: os.kill(parent, 0), "nice parent": lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
    "limit parent": limit_parent, "signal through a pipe": signal_through_a_pipe,
}
print(*(name for name, deed in forbidden.items() if attempt(deed) != "PermissionError"), sep=",")
print(attempt(read), attempt(thread))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system call filter is Linux's")
def test_child_is_confined(tmp_path: Path) -> None:
    """The child can open no socket, start nothing, signal nobody, and make, change, move or remove no file.

    It may read files and have threads.
    """
    kept = tmp_path / "evidence"
    kept.write_bytes(b"evidence")
    done = subprocess.run([sys.executable, "-c", _TRY, str(kept)], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["", "done done"], done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["evidence"]
    assert kept.read_bytes() == b"evidence"


@pytest.mark.parametrize("machine", list(MACHINES))
def test_filter_jumps_forward_and_within(machine: str) -> None:
    """On each machine the filter is one the kernel takes: jumps stay within it, and its last step decides."""
    steps = list(struct.iter_unpack("HBBI", filter_program(machine)))
    jumps = [at + 1 + max(true, false) for at, (operation, true, false, _) in enumerate(steps) if operation & 7 == 5]
    assert max(jumps) == len(steps) - 1
    assert steps[-1][0] == 6


def test_processor_time_is_bounded() -> None:
    """A child that computes without end is ended by the system."""
    loop = "from media.inspection.confinement import allow_cpu\nallow_cpu(1)\nwhile True: pass"
    done = subprocess.run([sys.executable, "-c", loop], capture_output=True, check=False)
    assert done.returncode == -signal.SIGXCPU
