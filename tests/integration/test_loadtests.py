"""The load test by the command that people type, small."""

import asyncio
import sys
from pathlib import Path

import msgspec


async def test_a_few_inspectors_lose_nothing(tmp_path: Path) -> None:
    """Personas work on a server of their own; the figures are written, with the losses among them."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtests", "--devices", "3", "--seconds", "1", cwd=tmp_path
    )
    assert await process.wait() == 0
    figures = msgspec.json.decode((tmp_path / "build/load.json").read_bytes())
    (lost,) = (one for one in figures if "changes lost" in one["name"])
    assert lost["value"] == 0
    assert all(one.keys() == {"name", "value", "unit", "baseline", "ratio"} for one in figures)
