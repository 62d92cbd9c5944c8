"""`wsol-show` with several map methods, with videos, and with boxes as files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny_dataset import CLASSES, write_checkpoint
from tiny_video import FRAMES, RATE, write_video

import tdam
import wsol
from wsol.commands.show import main

MODEL = "resnet_mini"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "tiny.safetensors", MODEL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working folder with photographs that are not square, two of one name."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for name, (width, height) in {"a.png": (160, 70), "more/a.png": (50, 90)}.items():
        Path("photos", name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(Path("photos", name))
    return tmp_path


def records(capsys: pytest.CaptureFixture[str], checkpoint: Path, *arguments: str) -> list[dict]:
    assert main([*arguments, "--model", MODEL, "--checkpoint", str(checkpoint), "--json"]) == 0
    return json.loads(capsys.readouterr().out)["images"]


def test_methods_side_by_side_equal_each_alone(folder: Path, checkpoint: Path, capsys) -> None:
    several = records(capsys, checkpoint, "photos", "--method", "cam", "layer-cam", "activation")
    for name in ("cam", "layer-cam", "activation"):
        alone = records(capsys, checkpoint, "photos", "--method", name)
        assert [one["methods"][name] for one in several] == [one["steps"] for one in alone]
        assert all("methods" not in one for one in alone)
    assert [one["steps"] for one in several] == [one["methods"]["cam"] for one in several]


def test_methods_share_the_forward_pass(checkpoint: Path) -> None:
    localizer = wsol.Localizer(MODEL, checkpoint, method=("cam", "grad-cam", "layer-cam", "nwc"))
    image = Image.new("RGB", (60, 40), "orange")
    localizer(image)
    calls = []
    localizer.network.model.register_forward_hook(lambda *_: calls.append(1))
    (found,) = localizer(image)
    assert len(calls) == 1
    assert list(found.by_method) == ["cam", "grad-cam", "layer-cam", "nwc"]
    assert found.methods()["nwc"].steps is found.by_method["nwc"]
    assert found._repr_png_().startswith(b"\x89PNG")


def test_figures_of_several_methods(folder: Path, checkpoint: Path) -> None:
    options = ["--model", MODEL, "--checkpoint", str(checkpoint), "--method"]
    main(["photos/a.png", *options, "cam", "--output", "one"])
    main(["photos/a.png", *options, "cam", "grad-cam", "layer-cam", "--output", "three"])
    one, three = (Image.open(Path(name, "a.png")).width for name in ("one", "three"))
    assert three > 1.4 * one
    assert main(["photos", *options, "cam", "grad-cam", "--output", "all.pdf"]) == 0
    tdam_options = ["--model", "resnet_mini_tdam", "--method", "cam", "searchlight", "--output", "steps.png"]
    assert main(["photos/a.png", *tdam_options]) == 0


@pytest.mark.parametrize("more", [["--output", "a.gif"], ["--format", "mp4"], ["--figure", "difference"]])
def test_several_methods_are_refused_where_only_one_is_shown(folder: Path, checkpoint: Path, capsys, more) -> None:
    arguments = ["photos/a.png", "--model", MODEL, "--checkpoint", str(checkpoint), "--method", "cam", "grad-cam"]
    assert main([*arguments, *more]) == 2
    assert "name one --method" in capsys.readouterr().err


def test_a_video_becomes_a_video_and_records(folder: Path, checkpoint: Path, capsys) -> None:
    write_video(folder / "clip.mp4")
    found = records(capsys, checkpoint, "clip.mp4", "--output", "out", "--every", "2")
    assert [one["frame"] for one in found] == [0, 2, 4, 6]
    assert [one["seconds"] for one in found] == pytest.approx([0, 0.4, 0.8, 1.2])
    written = cv2.VideoCapture("out/clip.mp4")
    assert written.get(cv2.CAP_PROP_FRAME_COUNT) == 4
    assert written.get(cv2.CAP_PROP_FPS) == pytest.approx(RATE / 2)
    assert records(capsys, checkpoint, "clip.mp4", "photos/a.png", "--output", "out")[-1]["path"] == "photos/a.png"


def test_a_damaged_video_costs_nothing_else(folder: Path, checkpoint: Path, capsys) -> None:
    Path("bad.mp4").write_bytes(b"no video")
    arguments = ["bad.mp4", "photos/a.png", "--model", MODEL, "--checkpoint", str(checkpoint), "--output", "out"]
    assert main(arguments) == 1
    assert "bad.mp4: cannot be read as a video" in capsys.readouterr().err
    assert [path.name for path in Path("out").iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--output", "out.png"], "a video becomes a file .mp4"),
        (["--output", "clip.mp4"], "did not make"),
        (["--every", "0"], "--every 0"),
    ],
)
def test_wrong_usage_with_a_video(folder: Path, checkpoint: Path, capsys, more: list[str], message: str) -> None:
    before = write_video(folder / "clip.mp4").read_bytes()
    assert main(["clip.mp4", "--model", MODEL, "--checkpoint", str(checkpoint), *more]) == 2
    assert message in capsys.readouterr().err
    assert (folder / "clip.mp4").read_bytes() == before


def test_boxes_in_every_format_are_those_of_the_photographs_frame(folder: Path, checkpoint: Path, capsys) -> None:
    arguments = ["photos", "--rule", "all", "--output", "out", "--export", "coco", "csv", "voc", "yolo"]
    found = records(capsys, checkpoint, *arguments)
    regions = [region["box"] for one in found for region in one["steps"][0]["regions"]]
    assert any(box[2] > 96 for box in regions), "beyond the network's input of 96 pixels"

    document = json.loads(Path("out/boxes/coco.json").read_text())
    assert [(image["width"], image["height"]) for image in document["images"]] == [(160, 70), (50, 90)]
    boxes = [[x, y, x + width, y + height] for x, y, width, height in (one["bbox"] for one in document["annotations"])]
    assert boxes == regions
    rows = list(csv.DictReader(Path("out/boxes/boxes.csv").read_text().splitlines()))
    assert [[int(row[key]) for key in ("x0", "y0", "x1", "y1")] for row in rows] == regions
    assert {row["label"] for row in rows} <= set(CLASSES)
    named = zip(found, ("a", "a-2"), strict=True)
    for one, name in named:
        own = [region["box"] for region in one["steps"][0]["regions"]]
        text = Path(f"out/boxes/yolo/{name}.txt").read_text()
        lines = [[float(word) for word in line.split()] for line in text.splitlines()]
        for (_, x, y, width, height), box in zip(lines, own, strict=True):
            corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
            scale = np.tile([one["width"], one["height"]], 2)
            assert np.array(corners) * scale == pytest.approx(box, abs=1e-3)
        tree = ElementTree.parse(f"out/boxes/voc/{name}.xml")
        assert [int(node.text) - 1 for node in tree.iter("xmin")] == [box[0] for box in own]

    records(capsys, checkpoint, *arguments[:5], "--export", "coco")
    assert sorted(path.name for path in Path("out/boxes-2").iterdir()) == ["coco.json"], "earlier boxes are kept"


def test_boxes_of_a_video_and_of_several_methods(folder: Path, checkpoint: Path, capsys) -> None:
    write_video(folder / "clip.mp4")
    records(capsys, checkpoint, "clip.mp4", "--method", "cam", "activation", "--export", "coco")
    for method in ("cam", "activation"):
        document = json.loads(Path("wsol-show/boxes", method, "coco.json").read_text())
        assert [image["file_name"] for image in document["images"]] == [f"clip-{n:06d}" for n in range(FRAMES)]
        assert len(document["annotations"]) == FRAMES


def test_an_unknown_method_and_format_list_the_valid_ones(checkpoint: Path) -> None:
    with pytest.raises(tdam.UnknownNameError, match="unknown map method 'camm'; valid: cam"):
        wsol.Localizer(MODEL, checkpoint, method=("cam", "camm"))
    with pytest.raises(tdam.UserError, match="no map method"):
        wsol.Localizer(MODEL, checkpoint, method=())
