"""Convert a checkpoint of other people to a safetensors file with its configuration inside.

python scripts/convert_checkpoint.py TD_RNet50_t2_m1_joint.pth.tar resnet50_tdam.safetensors --model resnet50_tdam
python scripts/convert_checkpoint.py mine.pth mine.safetensors --model resnet18_tdam --num-classes 200
"""

from __future__ import annotations

import sys
from pathlib import Path

import timm
import tyro

import tdam


def main(source: Path, target: Path, /, model: str, num_classes: int = 1000) -> None:
    """Convert one file.

    Args:
        source: A file of the TDAM authors, timm or torchvision; pickles are read without being executed.
        target: The safetensors file to write.
        model: Name of the network that the file belongs to.
        num_classes: Its classes.
    """
    try:
        network = tdam.create_model(model, num_classes=num_classes)
        report = tdam.load_checkpoint(network, source)
    except tdam.UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    data = timm.data.resolve_data_config(model=network)
    config = {
        "model": model,
        "num_classes": num_classes,
        "model_args": {},
        "input_size": list(data["input_size"]),
        "mean": list(data["mean"]),
        "std": list(data["std"]),
        # Feedback parts that the file lacks have seen no training.
        "trained": not report.initialised,
    }
    tdam.save_checkpoint(network, target, config)
    print(f"{report}; written to {target}")


if __name__ == "__main__":
    tyro.cli(main)
