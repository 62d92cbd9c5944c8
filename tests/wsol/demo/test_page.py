"""The demo page in a browser: what a visitor sees and does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import start_chromium
from PIL import Image
from results_folder import MODEL, write_checkpoint

from wsol.demo.networks import Networks
from wsol.demo.page import build_page, served, temporary_files

WAIT = 30_000


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    yield from start_chromium()


@pytest.fixture(scope="module")
def demo(chromium: Any, checkpoint: Path) -> Iterator[Any]:
    """The page, served; `chromium` comes first so that nothing is started where the tests will skip."""
    pytest.importorskip("gradio", reason="needs Gradio: pip install gradio")
    with temporary_files() as folder:
        page = build_page(Networks(MODEL, checkpoint))
        with served(page):
            yield page
    assert not folder.exists()


@pytest.fixture
def page(chromium: Any, demo: Any) -> Iterator[Any]:
    requests: list[str] = []
    complaints: list[str] = []
    page = chromium.new_page()
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(demo.local_url)
    page.wait_for_selector("#pictures figure", timeout=60_000)
    yield page
    page.close()
    assert complaints == []
    allowed = (demo.local_url, demo.local_url.replace("http", "ws"), "data:", "blob:")
    assert [url for url in requests if not url.startswith(allowed)] == []


def pictures(page: Any) -> str:
    return page.inner_html("#pictures .steps")


def wait_for_other_pictures(page: Any, before: str) -> str:
    page.wait_for_function(
        "(old) => (document.querySelector('#pictures .steps')?.innerHTML ?? old) !== old", arg=before, timeout=WAIT
    )
    return pictures(page)


def wait_for_message(page: Any, text: str) -> None:
    page.wait_for_function(
        "(text) => document.querySelector('#message').textContent.includes(text)", arg=text, timeout=WAIT
    )


def opacity_of(page: Any, step: int) -> float:
    return float(page.evaluate(f"getComputedStyle(document.querySelectorAll('#fade .faded')[{step - 1}]).opacity"))


def test_the_page_opens_with_an_image_localized_and_all_steps_side_by_side(page: Any) -> None:
    titles = page.locator("#pictures figcaption b").all_text_contents()
    assert titles == ["photograph", "step 1", "step 2", "change, step 1 to 2"]
    assert "classes" in page.inner_text("#message")
    assert page.locator("#examples img").count() == 6


def test_the_threshold_moves_the_boxes(page: Any) -> None:
    before = pictures(page)
    page.focus("#threshold input[type=range]")
    page.keyboard.press("End")
    assert "box line" in wait_for_other_pictures(page, before)


def test_the_fade_blends_the_steps_in_the_browser(page: Any) -> None:
    page.wait_for_function("document.body.style.getPropertyValue('--fade') === '2'", timeout=WAIT)
    assert (opacity_of(page, 1), opacity_of(page, 2)) == (0, 1)
    page.focus("#step input[type=range]")
    page.keyboard.press("Home")
    page.wait_for_function("document.body.style.getPropertyValue('--fade') === '1'", timeout=WAIT)
    assert (opacity_of(page, 1), opacity_of(page, 2)) == (1, 0)
    page.evaluate("document.body.style.setProperty('--fade', 1.25)")
    assert (opacity_of(page, 1), opacity_of(page, 2)) == (0.75, 0.25)


@pytest.mark.parametrize(("layer", "selector"), [("map", ".layer.map"), ("outline", ".outline"), ("box", ".box")])
def test_layers_are_switched_off_and_on(page: Any, layer: str, selector: str) -> None:
    shown = f"#pictures figure:nth-child(3) {selector}"
    for expected in (False, True):
        page.click(f"#layers label:has-text('{layer}')")
        page.wait_for_function(
            "([selector, shown]) => (getComputedStyle(document.querySelector(selector)).display !== 'none') === shown",
            arg=[shown, expected],
            timeout=WAIT,
        )


def test_another_class_gives_other_maps(page: Any) -> None:
    choices = page.locator("#classes label")
    assert choices.count() == 1 + 5
    before = pictures(page)
    choices.nth(4).click()
    after = wait_for_other_pictures(page, before)
    name = choices.nth(4).inner_text().rsplit("  ", 1)[0].strip().split(" 0.")[0]
    assert after.count(name) == 2


def test_an_example_is_a_click_away(page: Any) -> None:
    before = pictures(page)
    page.locator("#examples button img").nth(3).click()
    wait_for_other_pictures(page, before)


def test_a_non_image_is_told_and_the_page_lives_on(page: Any, tmp_path: Path) -> None:
    (tmp_path / "letter.png").write_text("dear page")
    page.set_input_files("#file input[type=file]", tmp_path / "letter.png")
    wait_for_message(page, "error: letter.png: ")
    Image.new("RGB", (70, 30), "teal").save(tmp_path / "fine.png")
    page.set_input_files("#file input[type=file]", tmp_path / "fine.png")
    wait_for_message(page, "70 × 30 pixels")


def test_a_photograph_of_any_kind_is_shown_upright(page: Any, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.new("CMYK", (60, 40), (0, 255, 0, 0)).save(tmp_path / "photo.jpg", exif=exif)
    page.set_input_files("#file input[type=file]", tmp_path / "photo.jpg")
    wait_for_message(page, "40 × 60 pixels")


GIVE = """async (kind) => {
  const canvas = new OffscreenCanvas(50, 20);
  canvas.getContext("2d").fillRect(0, 0, 50, 20);
  const carrier = new DataTransfer();
  carrier.items.add(new File([await canvas.convertToBlob()], "given.png", { type: "image/png" }));
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: carrier, bubbles: true })
    : new DragEvent("drop", { dataTransfer: carrier, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_images_are_pasted_and_dropped_anywhere(page: Any, kind: str) -> None:
    page.evaluate(GIVE, kind)
    wait_for_message(page, "50 × 20 pixels")


def test_what_the_network_was_never_taught_is_told(chromium: Any, tmp_path: Path) -> None:
    """A grey image given to the bundled bird network."""
    pytest.importorskip("gradio", reason="needs Gradio: pip install gradio")
    Image.new("RGB", (64, 48), "grey").save(tmp_path / "grey.png")
    with temporary_files(), served(build_page(Networks())) as address:
        page = chromium.new_page()
        page.goto(address)
        page.wait_for_selector("#pictures figure", timeout=60_000)
        assert page.locator("#message .warning").count() == 0
        page.set_input_files("#file input[type=file]", tmp_path / "grey.png")
        wait_for_message(page, "64 × 48 pixels")
        assert "Low confidence" in page.inner_text("#message .warning")
        assert "12 classes: Red crowned plain" in page.inner_text("#message")
        page.close()


def test_no_folder_of_this_machine_is_shown(page: Any, checkpoint: Path) -> None:
    assert str(checkpoint.parent) not in page.content()
    assert "site-packages" not in page.inner_text("body")


def test_a_file_over_the_limit_is_not_taken(page: Any, tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(bytes(21_000_000))
    page.set_input_files("#file input[type=file]", tmp_path / "huge.png")
    page.wait_for_selector("text=/exceed|too large|size/i", timeout=WAIT)
    page.reload()
    page.wait_for_selector("#pictures figure", timeout=60_000)


def test_only_this_machine_is_served(demo: Any) -> None:
    assert demo.server_name == "127.0.0.1"
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1"}:
        if address.startswith("127."):
            continue
        with pytest.raises(OSError, match=r".*"), socket.create_connection((address, demo.server_port), timeout=2):
            pass
