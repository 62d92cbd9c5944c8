"""The demo page: what it computes, and the page itself in a browser."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import start_chromium
from PIL import Image
from results_folder import MODEL, write_checkpoint

import wsol
from tdam.errors import UnknownNameError, UserError
from wsol.commands import demo as demo_app


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="module")
def networks(checkpoint: Path) -> demo_app.Networks:
    return demo_app.Networks(MODEL, checkpoint)


def test_boxes_follow_the_threshold_as_the_localizer_has_them(networks: demo_app.Networks, checkpoint: Path) -> None:
    image = demo_app.drawn_bird()
    found = demo_app.localize(networks, MODEL, "cam", image)
    for threshold in (0.1, 0.5, 0.9):
        (expected,) = wsol.Localizer(MODEL, checkpoint, threshold=threshold)(image)
        boxes = demo_app.step_boxes(found, threshold)
        assert [box.tolist() for box in boxes] == [step.box.tolist() for step in expected.steps]
        table = demo_app.step_table(found, threshold)
        assert [row[3:] for row in table] == [step.box.tolist() for step in expected.steps]
        assert [row[0] for row in table] == [1, 2]


def test_the_picture_shows_the_step_asked_for(networks: demo_app.Networks) -> None:
    found = demo_app.localize(networks, MODEL, "cam", Image.new("RGB", (100, 50), "teal"))
    first, second = (np.asarray(demo_app.shown_picture(found, step, 0.5)) for step in (1, 2))
    assert first.shape == second.shape == (320, 640, 3)
    assert not np.array_equal(first, second)


def test_names_that_are_not_offered_are_refused(networks: demo_app.Networks) -> None:
    with pytest.raises(UnknownNameError, match=MODEL):
        networks.open("../../etc/passwd")
    with pytest.raises(UnknownNameError, match="grad-cam"):
        demo_app.localize(networks, MODEL, "grad-cm", Image.new("RGB", (9, 9)))


def test_without_any_weights_there_is_no_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo_app, "BUNDLED", tmp_path)
    with pytest.raises(UserError, match="--checkpoint"):
        demo_app.Networks()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    yield from start_chromium()


@pytest.fixture(scope="module")
def served(chromium: Any, networks: demo_app.Networks) -> Iterator[Any]:
    """The page, served; `chromium` comes first so that nothing is started where the tests will skip."""
    pytest.importorskip("gradio", reason="needs Gradio: pip install gradio")
    page = demo_app.build_page(networks)
    demo_app.start(page)
    yield page
    page.close(verbose=False)


@pytest.fixture
def page(chromium: Any, served: Any) -> Iterator[Any]:
    requests: list[str] = []
    complaints: list[str] = []
    page = chromium.new_page()
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(served.local_url)
    page.wait_for_selector("#bird", timeout=60_000)
    yield page
    page.close()
    assert complaints == []
    allowed = (served.local_url, served.local_url.replace("http", "ws"), "data:", "blob:")
    assert [url for url in requests if not url.startswith(allowed)] == []


def picture_address(page: Any) -> str:
    page.wait_for_selector("#picture img", timeout=30_000)
    return page.get_attribute("#picture img", "src")


def wait_for_other_picture(page: Any, address: str) -> str:
    page.wait_for_function("(old) => document.querySelector('#picture img')?.src !== old", arg=address, timeout=30_000)
    return picture_address(page)


def test_a_bird_is_shown_and_the_sliders_move_it(page: Any) -> None:
    page.click("#bird")
    last = picture_address(page)
    page.wait_for_function("document.querySelector('#steps').textContent.includes('class ')", timeout=30_000)
    page.focus("#step input[type=range]")
    page.keyboard.press("Home")
    first = wait_for_other_picture(page, last)
    page.focus("#threshold input[type=range]")
    page.keyboard.press("End")
    wait_for_other_picture(page, first)


def test_a_non_image_is_told_and_the_page_lives_on(page: Any, tmp_path: Path) -> None:
    (tmp_path / "letter.png").write_text("dear page")
    page.set_input_files("#file input[type=file]", tmp_path / "letter.png")
    page.wait_for_function("document.querySelector('#message textarea').value.startsWith('error')", timeout=30_000)
    assert page.input_value("#message textarea") == "error: letter.png: not an image that can be read"
    page.click("#bird")
    assert picture_address(page)
    assert page.input_value("#message textarea").startswith("96 × 96 pixels")


def test_a_photograph_of_any_kind_is_shown_upright(page: Any, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.new("CMYK", (60, 40), (0, 255, 0, 0)).save(tmp_path / "photo.jpg", exif=exif)
    page.set_input_files("#file input[type=file]", tmp_path / "photo.jpg")
    assert picture_address(page)
    page.wait_for_function("document.querySelector('#message textarea').value.startsWith('40 × 60')", timeout=30_000)


def test_a_file_over_the_limit_is_not_taken(page: Any, tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(bytes(21_000_000))
    page.set_input_files("#file input[type=file]", tmp_path / "huge.png")
    page.wait_for_selector("text=/exceed|too large|size/i", timeout=30_000)
    page.reload()
    page.wait_for_selector("#bird", timeout=60_000)


def test_only_this_machine_is_served(served: Any) -> None:
    assert served.server_name == "127.0.0.1"
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1"}:
        if address.startswith("127."):
            continue
        with pytest.raises(OSError, match=r".*"), socket.create_connection((address, served.server_port), timeout=2):
            pass
