"""Off-the-shelf tus clients work unchanged: tuspy from the Python index, tus-js-client from npm."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tusclient.client import TusClient

from tests.integration.http_server import HttpServer, Phone
from tests.integration.media import digest_of, photo

ROOT = Path(__file__).parents[2]
NODE_CLIENT = ROOT / "build" / "tus-js-client"
SCRIPT = Path(__file__).with_name("tus_client.mjs")
MEBIBYTE = 1024 * 1024


def signed_headers(phone: Phone) -> dict[str, str]:
    """What a client that can send fixed headers only needs to create uploads."""
    return {
        "Authorization": f"DPoP {phone.access_token}",
        "DPoP": phone.proof("POST", "/v1/uploads", phone.access_token),
    }


@pytest.mark.parametrize("checksums", [True, False])
def test_tuspy(server: HttpServer, tmp_path: Path, checksums: bool) -> None:
    """tuspy uploads in chunks, with checksums where it is told to."""
    content = photo(3 * MEBIBYTE + 17)
    (tmp_path / "photo.jpg").write_bytes(content)
    client = TusClient(f"{server.url}/v1/uploads", headers=signed_headers(server.inspector()))
    uploader = client.uploader(
        str(tmp_path / "photo.jpg"),
        chunk_size=MEBIBYTE,
        metadata={"filename": "照片.jpg", "sha256": hashlib.sha256(content).hexdigest()},
        upload_checksum=checksums,
    )
    uploader.upload()
    assert server.client.get(str(uploader.url)).json()["digest"] == digest_of(content)


def test_tuspy_resumes(server: HttpServer, tmp_path: Path) -> None:
    """Another tuspy, which knows the address alone, goes on where the first one stopped."""
    content = photo(3 * MEBIBYTE)
    (tmp_path / "photo.jpg").write_bytes(content)
    client = TusClient(f"{server.url}/v1/uploads", headers=signed_headers(server.inspector()))
    first = client.uploader(str(tmp_path / "photo.jpg"), chunk_size=MEBIBYTE)
    first.upload(stop_at=MEBIBYTE)
    second = TusClient(f"{server.url}/v1/uploads").uploader(str(tmp_path / "photo.jpg"), url=first.url)
    assert second.offset == MEBIBYTE
    second.upload()
    assert server.client.get(str(first.url)).json()["digest"] == digest_of(content)


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Where tus-js-client is; installed for the first test that needs it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not on the PATH: tus-js-client cannot be run")
    if not (NODE_CLIENT / "node_modules" / "tus-js-client").is_dir():
        NODE_CLIENT.mkdir(parents=True, exist_ok=True)
        (NODE_CLIENT / "package.json").write_text("{}")
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "tus-js-client@4"], cwd=NODE_CLIENT, capture_output=True
        )
        if done.returncode:
            shutil.rmtree(NODE_CLIENT)
            pytest.skip(f"npm cannot install tus-js-client: {done.stderr.decode()[-300:]}")
    return NODE_CLIENT


@pytest.mark.parametrize(
    "options",
    [
        {"chunkSize": MEBIBYTE},
        {},
        {"uploadDataDuringCreation": True, "chunkSize": MEBIBYTE},
        {"parallelUploads": 3},
        {"overridePatchMethod": True, "chunkSize": MEBIBYTE},
        {"resumeAfter": MEBIBYTE, "chunkSize": MEBIBYTE},
    ],
    ids=lambda options: "-".join(options) or "one-chunk",
)
def test_tus_js_client(server: HttpServer, tmp_path: Path, node_modules: Path, options: dict[str, Any]) -> None:
    """tus-js-client uploads in each of its ways."""
    content = photo(3 * MEBIBYTE + 17)
    (tmp_path / "photo.jpg").write_bytes(content)
    told = options | {
        "endpoint": f"{server.url}/v1/uploads",
        "headers": signed_headers(server.inspector()),
        "metadata": {"filename": "照片.jpg", "filetype": "image/jpeg"},
    }
    script = shutil.copy(SCRIPT, node_modules / SCRIPT.name)
    done = subprocess.run(
        ["node", script, str(tmp_path / "photo.jpg"), json.dumps(told)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert server.client.get(done.stdout.strip()).json()["digest"] == digest_of(content)
