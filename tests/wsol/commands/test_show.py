"""`wsol-show` end to end, in this process, with a tiny network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_dataset import write_checkpoint

import tdam
import wsol
from wsol.commands.show import main

MODEL = "resnet_mini_tdam"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in our format; what it was trained for does not matter here."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    names = ["grey <jay>", "red $kite$", "wren"]
    config = {"model": MODEL, "num_classes": 3, "model_args": {}, "class_names": names, "trained": True}
    tdam.save_checkpoint(tdam.create_model(MODEL, num_classes=3), path, config)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working folder with photographs of three sizes."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for name, (width, height) in {"a.png": (60, 40), "b.jpg": (30, 90), "more/a.png": (50, 50)}.items():
        Path("photos", name).parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(Path("photos", name))
    return tmp_path


def show(checkpoint: Path, *arguments: str) -> int:
    return main([*arguments, "--model", MODEL, "--checkpoint", str(checkpoint)])


def test_one_image_gives_one_figure(folder: Path, checkpoint: Path) -> None:
    assert show(checkpoint, "photos/a.png") == 0
    assert Image.open("wsol-show/a.png").size[0] > 400


def test_a_folder_gives_a_figure_per_image_and_no_name_is_overwritten(folder: Path, checkpoint: Path) -> None:
    assert show(checkpoint, "photos", "--output", "out") == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a-2.png", "a.png", "b.png"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["png", "svg", "pdf", "gif", "webp", "mp4"])
def test_photographs_beside_the_figures_are_kept_and_figures_are_no_photographs(
    folder: Path, checkpoint: Path, kind: str
) -> None:
    Image.new("RGB", (20, 30)).save("photos/b.webp")  # not shown the first time, and of a name a figure could have
    before = contents(Path("photos"))
    given = ("photos/a.png", "photos/b.jpg")
    assert show(checkpoint, *given, "--output", "photos", "--format", kind) == 0
    after = contents(Path("photos"))
    assert {name: content for name, content in after.items() if name in before} == before
    assert len(after) == len(before) + 2
    figures = {name: Path(name).stat().st_mtime_ns for name in after.keys() - before.keys()}
    # Again, over the whole folder: the photographs alone, and their own figures are written anew.
    assert show(checkpoint, "photos", "--output", "photos", "--format", kind) == 0
    again = contents(Path("photos"))
    assert {name: content for name, content in again.items() if name in before} == before
    assert len(again) == len(before) + len(before)
    assert all(Path(name).stat().st_mtime_ns > time for name, time in figures.items())


def test_a_figure_is_no_photograph_even_if_named(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(checkpoint, "photos/a.png", "--output", "figure.png") == 0
    assert show(checkpoint, "figure.png", "photos/a.png", "--json") == 0
    assert [record["path"] for record in json.loads(capsys.readouterr().out)["images"]] == ["photos/a.png"]
    assert show(checkpoint, "figure.png") == 1
    assert "figure.png: a figure that wsol made, not a photograph" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["photos/a.png", "link.png", "photos/c.png", "table.pdf", "pages.png"])
def test_a_file_of_somebody_else_is_never_overwritten(
    folder: Path, checkpoint: Path, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("link.png").symlink_to("photos/a.png")
    Image.new("RGB", (20, 30)).save("photos/c.png")
    Path("table.pdf").write_text("somebody's")
    Image.new("RGB", (20, 30)).save("pages-2.png")
    before = contents(folder)
    assert show(checkpoint, "photos/a.png", "photos/b.jpg", "--output", output) == 2
    assert "a file that wsol-show did not make; choose another name" in capsys.readouterr().err
    assert contents(folder) == before


def test_a_figure_is_drawn_over_an_older_one(folder: Path, checkpoint: Path) -> None:
    for threshold in ("0.2", "0.9"):
        assert show(checkpoint, "photos/a.png", "--output", "figure.png", "--threshold", threshold) == 0
    assert [path.name for path in Path().iterdir() if path.is_file()] == ["figure.png"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_file_holds_all_images(folder: Path, checkpoint: Path, suffix: str) -> None:
    assert show(checkpoint, "photos/*.*", "--output", f"deep/all{suffix}", "--figure", "difference") == 0
    assert Path(f"deep/all{suffix}").stat().st_size > 1000


def test_animations_of_a_folder(folder: Path, checkpoint: Path) -> None:
    assert show(checkpoint, "photos", "--output", "out", "--format", "webp") == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a-2.webp", "a.webp", "b.webp"]
    assert Image.open("out/a.webp").n_frames > 1


def test_an_animation_of_one_image(folder: Path, checkpoint: Path) -> None:
    assert show(checkpoint, "photos/a.png", "--output", "moving.gif") == 0
    assert Image.open("moving.gif").is_animated


def test_more_images_than_fit_a_page_become_pages(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(9):
        Image.new("RGB", (8, 8)).save(f"photos/{number}.png")
    assert show(checkpoint, "photos", "--output", "out/all.png") == 0
    written = sorted(path.name for path in Path("out").iterdir())
    assert written[:2] == ["all-1.png", "all-2.png"]
    said = capsys.readouterr().err
    assert all(name in said for name in written)


def test_json_says_what_the_localizer_says(folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(checkpoint, "photos/b.jpg", "photos/a.png", "--json", "--threshold", "0.4") == 0
    printed = json.loads(capsys.readouterr().out)
    localizer = wsol.Localizer(MODEL, checkpoint=checkpoint, threshold=0.4)
    for record, found in zip(printed["images"], localizer(["photos/b.jpg", "photos/a.png"]), strict=True):
        assert record["path"] == str(found.path)
        assert (record["width"], record["height"]) == found.image_size
        assert [step["box"] for step in record["steps"]] == [step.box.tolist() for step in found.steps]
        assert [step["label"] for step in record["steps"]] == [step.label for step in found.steps]
        assert [step["score"] for step in record["steps"]] == pytest.approx(
            [step.score for step in found.steps], abs=1e-5
        )
    assert not Path("wsol-show").exists(), "no figure was asked for"


def test_an_unreadable_image_is_named_and_the_others_are_shown(
    folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("photos/broken.png").write_text("not an image")
    assert show(checkpoint, "photos", "--output", "out") == 1
    assert len(list(Path("out").iterdir())) == 3
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "photos/broken.png" in errors[0]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.png"], 1, "none.png: no such file"),
        ([], 2, "no image given"),
        (["photos", "--threshold", "1"], 2, "--threshold 1 is not in"),
        (["photos", "--threshold", "nan"], 2, "--threshold nan is not in"),
        (["photos", "--output", "a.bmp"], 2, "use .png, .svg, .pdf, .gif, .webp, .mp4 or a folder"),
        (["photos", "--output", "a.gif"], 2, "an animation shows one image, not 3"),
        (["photos", "--method", "gradcam"], 2, "grad-cam"),
    ],
)
def test_wrong_use_is_one_line_and_the_right_code(
    folder: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    assert show(checkpoint, *arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = (line for line in printed.err.splitlines() if line.startswith("error: "))
    assert message in line
    assert not Path("wsol-show").exists()


def test_an_unknown_model_lists_the_nearest_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["photos", "--model", "resnet_mini_tdm"]) == 2
    assert "valid: resnet_mini_tdam, " in capsys.readouterr().err


def test_random_weights_are_never_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["photos", "--model", "resnet18_tdam"]) == 1
    assert "--checkpoint" in capsys.readouterr().err


def test_top_classes_without_json_would_be_shown_nowhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["photos", "--model", "resnet_mini", "--top-k", "2"]) == 2
    assert "--top-k goes with --json" in capsys.readouterr().err


def test_a_class_by_name_and_the_top_classes(tmp_path, capsys):
    checkpoint = write_checkpoint(tmp_path / "w.safetensors")
    Image.new("RGB", (80, 60), (120, 90, 30)).save(tmp_path / "a.png")
    arguments = [str(tmp_path / "a.png"), "--model", str(checkpoint), "--json", "--rule", "all"]
    assert main([*arguments, "--class", "lamp", "--top-k", "2"]) == 0
    output = capsys.readouterr()
    (image,) = json.loads(output.out)["images"]
    assert {step["label"] for step in image["steps"]} == {"lamp"}
    assert len(image["classes"]) == 2
    last = [steps[-1] for steps in image["classes"]]
    assert last[0]["score"] >= last[1]["score"]
    assert "maps 12 x 12 at 96 x 96" in output.err
    assert main([*arguments, "--class", "lamb"]) == 2
    assert "valid: lamp" in capsys.readouterr().err
