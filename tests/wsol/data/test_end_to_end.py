"""From a published archive, a CSV table or a COCO file to scores, with the commands as a person types them."""

import json
from pathlib import Path

import pytest
import torch
from tiny_datasets import (
    OPENIMAGES_LISTS,
    cub_archive,
    ilsvrc_boxes,
    ilsvrc_images,
    lists,
    openimages_archive,
    picture,
    write_files,
    write_tar,
    write_zip,
)

import tdam
from eval.commands.evaluate import main as wsol_eval
from wsol.commands.data import main as wsol_data


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs wsol-eval with a small network of so many classes on a dataset; returns results.json."""
    monkeypatch.setenv("WSOL_CACHE", str(tmp_path / "cache"))

    def run(dataset: str | Path, classes: int, **options: object) -> dict:
        torch.manual_seed(0)
        config = {"model": "resnet_mini_tdam", "num_classes": classes, "model_args": {}, "trained": True}
        checkpoint = tmp_path / "filled.safetensors"
        model = tdam.create_model("resnet_mini_tdam", num_classes=classes)
        tdam.save_checkpoint(model, checkpoint, config | {"dataset": Path(dataset).name})
        arguments = {
            "model": "resnet_mini_tdam",
            "dataset": dataset,
            "checkpoint": checkpoint,
            "output": tmp_path / "out",
        }
        flags = [text for name, value in (arguments | options).items() for text in (f"--{name}", str(value))]
        monkeypatch.setattr("sys.argv", ["wsol-eval", *flags])
        wsol_eval()
        return json.loads((tmp_path / "out/results.json").read_text())

    return run


def test_cub(evaluate, tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "miniature.tgz", cub_archive(), "gz")
    wsol_data(["prepare", "cub", "--archive", str(archive), "--root", str(tmp_path / "D")])
    results = evaluate("cub", 2, **{"data-root": tmp_path / "D"})
    assert results["images"] == 3
    assert results["metrics"]["max_box_acc"] is not None


def test_imagenet(evaluate, tmp_path: Path) -> None:
    images = write_tar(tmp_path / "images.tar", ilsvrc_images())
    boxes = write_tar(tmp_path / "boxes.tgz", ilsvrc_boxes(), "gz")
    wsol_data(["prepare", "imagenet", "--archive", str(images), str(boxes), "--root", str(tmp_path)])
    assert evaluate("imagenet", 1000, **{"data-root": tmp_path, "limit": 2})["images"] == 2


def test_openimages(evaluate, tmp_path: Path) -> None:
    images = write_zip(tmp_path / "images.zip", openimages_archive())
    listed = write_zip(tmp_path / "lists.zip", lists("OpenImages", "test", OPENIMAGES_LISTS))
    wsol_data(["prepare", "openimages", "--archive", str(images), str(listed), "--root", str(tmp_path)])
    results = evaluate("openimages", 2, **{"data-root": tmp_path})
    assert 0 < results["metrics"]["pxap"] < 100


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_own_images(kind: str, evaluate, tmp_path: Path) -> None:
    write_files(tmp_path / "mugs/photos", {f"{i}.jpg": picture(str(i), 60, 40) for i in range(2)})
    yaml = f"name: mugs\nsplits:\n  test: {{images: photos, boxes: test.{kind}}}\n"
    (tmp_path / "mugs/dataset.yaml").write_text(yaml)
    (tmp_path / "mugs/test.csv").write_text("path,label,x0,y0,x1,y1\n0.jpg,cup,1,2,30,20\n1.jpg,mug,5,5,50,35\n")
    coco = {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(2)],
        "categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "mug"}],
        "annotations": [{"image_id": i, "category_id": i + 1, "bbox": [1, 2, 30, 20]} for i in range(2)],
    }
    (tmp_path / "mugs/test.json").write_text(json.dumps(coco))
    results = evaluate(tmp_path / "mugs", 2)
    assert (results["dataset"], results["images"]) == ("mugs", 2)
