import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from wsol.data import DatasetError
from wsol.data.prepare.download import download

BODY = np.random.default_rng(0).bytes(3_000_000)
MD5 = hashlib.md5(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `BODY`; `cut` ends each answer early, `ranges` says whether it can resume."""

    cut: int | None = None
    ranges = True
    requests: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        if self.path != "/file":
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.ranges else 0
        if start >= len(BODY):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(BODY)}")
            self.end_headers()
            return
        self.send_response(206 if wanted and self.server.ranges else 200)
        self.send_header("Content-Length", str(len(BODY) - start))
        self.end_headers()
        end = len(BODY) if self.server.cut is None else min(len(BODY), start + self.server.cut)
        self.wfile.write(BODY[start:end])

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.requests = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def url(server: Server, path: str = "file") -> str:
    return f"http://127.0.0.1:{server.server_port}/{path}"


def test_downloads_once(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.tgz"
    for _ in range(2):
        assert download(url(server), target, MD5).read_bytes() == BODY
    assert server.requests == [None]
    assert [p.name for p in target.parent.iterdir()] == ["file.tgz"]


def test_resumes_where_it_was_cut(server: Server, tmp_path: Path) -> None:
    server.cut = 1_200_000
    target = tmp_path / "file"
    for _ in range(2):
        with pytest.raises(DatasetError, match="run the command again to continue"):
            download(url(server), target, MD5)
        assert not target.exists()
    assert download(url(server), target, MD5).read_bytes() == BODY
    assert server.requests == [None, "bytes=1200000-", "bytes=2400000-"]


def test_starts_anew_where_the_server_cannot_resume(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"half of something")
    server.ranges = False
    assert download(url(server), tmp_path / "file", MD5).read_bytes() == BODY


@pytest.mark.parametrize(("part", "requests"), [(BODY, 1), (BODY + b"more", 2)])
def test_a_part_that_is_whole_or_too_long(part: bytes, requests: int, server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(part)
    assert download(url(server), tmp_path / "file", MD5).read_bytes() == BODY
    assert len(server.requests) == requests


def test_wrong_checksum_is_not_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="wrong MD5, expected 0123"):
        download(url(server), tmp_path / "file", "0123")
    assert not list(tmp_path.iterdir())


def test_a_stale_part_is_found_out_by_the_checksum(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"not the beginning")
    with pytest.raises(DatasetError, match="wrong MD5"):
        download(url(server), tmp_path / "file", MD5)
    assert download(url(server), tmp_path / "file", MD5).read_bytes() == BODY


def test_no_such_file_and_no_server(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"/gone: Not Found; run the command again"):
        download(url(server, "gone"), tmp_path / "file")
    server.shutdown()
    server.server_close()
    with pytest.raises(DatasetError, match="Connection refused"):
        download(url(server), tmp_path / "file")


def test_full_disk_is_told_before_the_download(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(DatasetError, match="needed to download file; free some space"):
        download(url(server), tmp_path / "file")
