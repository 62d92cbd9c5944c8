from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import tdam
from tdam.checkpoints import releases
from tdam.errors import CheckpointError, UnknownNameError
from tdam.files import file_sha256

NAME = "resnet18_tdam.joint_t2_m2"
CONTENT = bytes(range(256)) * 4096


class Drive(http.server.BaseHTTPRequestHandler):
    """A file server that resumes, and can break off or answer with a page."""

    content: ClassVar[bytes] = CONTENT
    break_after: ClassVar[int | None] = None
    page: ClassVar[bool] = False
    ranges: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.ranges.append(wanted)
        start = int(re.findall(r"\d+", wanted)[0]) if wanted else 0
        body = self.content[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Type", "text/html" if self.page else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.break_after is None else body[: self.break_after])

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Drive]]:
    handler = type("OwnDrive", (Drive,), {"ranges": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # a client that hangs up early is part of the tests
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(releases, "URL", f"http://127.0.0.1:{server.server_port}/{{id}}")
    yield handler
    server.shutdown()


def test_download_and_checksum(drive: type[Drive], tmp_path: Path) -> None:
    path = releases.fetch_release(NAME, tmp_path)
    assert path.read_bytes() == CONTENT
    assert (tmp_path / f"{path.name}.sha256").read_text().split() == [file_sha256(path), path.name]
    releases.fetch_release(NAME, tmp_path)
    assert drive.ranges == [None]
    path.write_bytes(b"another file")
    with pytest.raises(CheckpointError, match="is not the file that was first used"):
        releases.fetch_release(NAME, tmp_path)


def test_an_interrupted_download_goes_on(drive: type[Drive], tmp_path: Path) -> None:
    drive.break_after = 1000
    with pytest.raises(CheckpointError, match="put it at"):
        releases.fetch_release(NAME, tmp_path)
    assert not list(tmp_path.glob("*.tar"))
    drive.break_after = None
    assert releases.fetch_release(NAME, tmp_path).read_bytes() == CONTENT
    assert drive.ranges == [None, "bytes=1000-"]


def test_a_page_is_no_file(drive: type[Drive], tmp_path: Path) -> None:
    drive.page = True
    with pytest.raises(CheckpointError, match="Google Drive sent a page"):
        releases.fetch_release(NAME, tmp_path)
    assert not list(tmp_path.iterdir())


def test_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(releases, "URL", "http://127.0.0.1:9/{id}")
    monkeypatch.setenv("WSOL_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError) as caught:
        tdam.create_model("resnet18_tdam", pretrained=True)
    message = str(caught.value)
    assert "https://drive.google.com/file/d/1_dko76uh6YjQG9o_vw6LkXTB_3abYbQG" in message
    assert f"put it at {tmp_path}/weights/TD_RNet18_t2_m2_joint.pth.tar" in message
    assert "\n" not in message


def test_a_file_put_there_by_hand_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WSOL_CACHE", str(tmp_path))
    source = tdam.create_model("resnet18_tdam", num_classes=1000)
    path = tmp_path / "weights" / "TD_RNet18_t2_m2_joint.pth.tar"
    path.parent.mkdir()
    torch.save({"state_dict": source.state_dict()}, path)
    model = tdam.create_model("resnet18_tdam", pretrained=True)
    assert torch.equal(model.fc.weight, source.fc.weight)
    fewer = tdam.create_model("resnet18_tdam", pretrained=True, num_classes=7)
    assert torch.equal(fewer.layer4[0].attention.expand.weight, source.layer4[0].attention.expand.weight)
    assert fewer.fc.weight.shape == (7, 512)


def test_nothing_is_released_for_others() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown released weights 'vgg16_tdam.joint_t2_m1'; valid: resnet"):
        tdam.create_model("vgg16_tdam", pretrained=True)
