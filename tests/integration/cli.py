"""The real command `gridwalk`, as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec


class Printed(msgspec.Struct, frozen=True):
    """What a command printed, and its exit code."""

    out: str
    err: str
    code: int


class Gridwalk:
    """`gridwalk` in a folder, on a database of its own, speaking English unless told otherwise."""

    def __init__(self, folder: Path, database_url: str | None = None, **environment: str) -> None:
        self.folder = folder
        self.patience_s = 100
        own = {name: value for name, value in os.environ.items() if not name.startswith("GRIDWALK_")}
        self.environment = own | {"GRIDWALK_LANG": "en", "GRIDWALK_DATA_DIR": str(folder / "data")} | environment
        if database_url:
            self.environment["GRIDWALK_DATABASE_URL"] = database_url

    def __call__(self, *words: str | Path, stdin: str = "") -> Printed:
        """Run a command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "gridwalk", *map(str, words)],
            cwd=self.folder,
            env=self.environment,
            input=stdin.encode(),
            capture_output=True,
            timeout=self.patience_s,
            check=False,
        )
        printed = Printed(done.stdout.decode(), done.stderr.decode(), done.returncode)
        assert "Traceback" not in printed.err
        return printed

    def well(self, *words: str | Path, stdin: str = "") -> str:
        """Run a command that must succeed; what it printed."""
        printed = self(*words, stdin=stdin)
        assert printed.code == 0, printed.out[-3000:] + printed.err
        return printed.out

    def fails(self, *words: str | Path, stdin: str = "") -> str:
        """Run a command that must fail with one sentence; the sentence."""
        printed = self(*words, stdin=stdin)
        assert printed.code == 1, printed.out
        (sentence,) = printed.err.strip().splitlines()
        return sentence


def counted(printed: str) -> dict[str, int]:
    """The summary table of an import: words to number of rows."""
    rows = [line.rsplit(maxsplit=1) for line in printed.splitlines() if line.strip()]
    return {row[0].strip(): int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}
