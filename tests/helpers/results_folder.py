"""A results folder as wsol-eval writes it, of a tiny network, and the same with hostile names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import torch

import tdam
from eval.evaluation import EvaluationOptions, evaluate
from eval.judging.process import Process

MODEL = "resnet_mini_tdam"
HOSTILE_CLASS = """<img src=x onerror="document.title='owned'">'"&amp; {{ 7 * 7 }}"""
HOSTILE_IMAGE = """</script><script>document.title='owned'</script><!-- ../../"x".jpg"""


def write_checkpoint(path: Path) -> Path:
    """Weights from a seed: their figures do not matter, the way through the files does."""
    torch.manual_seed(0)
    model = tdam.create_model(MODEL, num_classes=12)
    for parameter in model.parameters():  # a fresh network's steps are equal: its feedback starts from nothing
        torch.nn.init.normal_(parameter, std=0.2)
    config = {"model": MODEL, "num_classes": 12, "model_args": {}, "dataset": "minibirds", "trained": True}
    tdam.save_checkpoint(model, path, config)
    return path


def write_results(folder: Path, images: int = 24, gallery: int = 12) -> Path:
    """Evaluate on some minibirds, gallery and report included."""
    checkpoint = write_checkpoint(folder / "tiny.safetensors")
    options = EvaluationOptions(
        dataset="minibirds",
        model=MODEL,
        checkpoint=checkpoint,
        output=folder / "results",
        limit=images,
        gallery=gallery,
    )
    evaluate(options, Process(), torch.device("cpu"))
    return folder / "results"


def with_hostile_names(results: Path, folder: Path) -> Path:
    """A copy whose model, first class and first gallery image carry markup in their names."""
    shutil.copytree(results, folder)
    (folder / "checksums.json").unlink()  # its files are edited
    predictions = pd.read_csv(folder / "predictions.csv", dtype=str, keep_default_na=False)
    gallery = json.loads((folder / "gallery" / "gallery.json").read_text())
    image, name = gallery[0]["image"], gallery[0]["class_name"]
    predictions["image"] = predictions["image"].replace(image, HOSTILE_IMAGE)
    for column in ("label_name", "class_name"):
        predictions[column] = predictions[column].replace(name, HOSTILE_CLASS)
    predictions.to_csv(folder / "predictions.csv", index=False)
    for entry in gallery:
        entry["image"] = HOSTILE_IMAGE if entry["image"] == image else entry["image"]
        for part in (entry, *entry["steps"]):
            part["class_name"] = HOSTILE_CLASS if part["class_name"] == name else part["class_name"]
    (folder / "gallery" / "gallery.json").write_text(json.dumps(gallery))
    results_json = json.loads((folder / "results.json").read_text())
    results_json["model"] = HOSTILE_CLASS
    for row in results_json["per_class"]:
        row["class"] = HOSTILE_CLASS if row["class"] == name else row["class"]
    (folder / "results.json").write_text(json.dumps(results_json))
    return folder
