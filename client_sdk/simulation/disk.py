"""A phone's storage: the real store on a real file, without its thread, and a crash at any step."""

import asyncio
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from client_sdk.store.thread import StoreThread, Tables

P = ParamSpec("P")
T = TypeVar("T")
_SUFFIXES = ("", "-wal")


class Crashed(BaseException):
    """The app or the phone died; nothing of this process goes on."""


class Disk:
    """Where a phone's files lie. Each life of the app has a folder; what a crash leaves is copied to the next one.

    `on_commit` sees the tables after each transaction. `steps_to_live` counts down at each step; then it crashes.
    """

    def __init__(self, folder: Path, rng: random.Random, on_commit: Callable[[Tables], None]) -> None:
        self._folder = folder
        self._lives = 0
        self._backup: Path | None = None
        self.rng = rng
        self.on_commit = on_commit
        self.steps_to_live: int | None = None
        self.dead = False
        self.calm = False
        self._folder_of(0).mkdir(parents=True)

    @property
    def path(self) -> Path:
        """The store of this life."""
        return self._folder_of(self._lives) / "phone.db"

    def crash(self) -> None:
        """Leave to the next life what is on disk at this moment."""
        if not self.dead:
            self.dead = True
            self._copy(self.path, self._folder_of(self._lives + 1))

    def revive(self) -> None:
        """Begin the next life."""
        shutil.rmtree(self._folder_of(self._lives))
        self._lives += 1
        self.dead = False
        self.steps_to_live = None

    def back_up(self) -> None:
        """Keep a copy of the store as it is."""
        self._backup = self._folder / "backup"
        self._copy(self.path, self._backup)

    def take_backup(self) -> bool:
        """Crash, and put the copy in the place of the store, for the next life; whether there is one."""
        if self._backup is None:
            return False
        self.crash()
        self._copy(self._backup / "phone.db", self._folder_of(self._lives + 1))
        return True

    def wipe(self) -> None:
        """Crash, and leave nothing."""
        self.crash()
        self._backup = None
        for file in self._folder_of(self._lives + 1).iterdir():
            file.unlink()

    def step(self) -> None:
        """Crash here if it is time. Raises Crashed, always once dead."""
        if self.steps_to_live is not None:
            self.steps_to_live -= 1
            if self.steps_to_live < 0:
                self.crash()
        if self.dead:
            raise Crashed

    def _folder_of(self, life: int) -> Path:
        return self._folder / f"life-{life}"

    def _copy(self, path: Path, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for suffix in _SUFFIXES:
            file = path.with_name(path.name + suffix)
            if file.exists():
                shutil.copyfile(file, target / file.name)


class SimulatedThread(StoreThread):
    """Operations one after the other, as in the real thread, but in the loop: each takes a moment of virtual time."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk.path)
        self._disk = disk
        self._turn = asyncio.Lock()

    async def open(self, opening: Callable[[], Tables]) -> None:
        self._disk.step()
        self._tables = opening()

    async def run(self, operation: Callable[Concatenate[Tables, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._turn:
            await self._moment()
            self._disk.step()
            result = self._transaction(lambda tables: operation(tables, *args, **kwargs))
            if self._tables is not None:
                self._disk.on_commit(self._tables)
            self._disk.step()
        await self._moment()
        return result

    async def close(self) -> None:
        self._close()

    async def _moment(self) -> None:
        roll = self._disk.rng.random()
        await asyncio.sleep(0 if roll < 0.7 or self._disk.calm else 0.02 * roll)
