"""Parameters and multiply-accumulates of the published TDAM configurations: ours beside the paper's.

python scripts/table_tdam.py            # print the table
python scripts/table_tdam.py --write    # and put it into docs/tdam.md
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
import tyro

import tdam
from tdam.macs import count_macs

DOCUMENT = Path(__file__).parents[1] / "docs" / "tdam.md"
START, END = "<!-- table_tdam.py: start -->", "<!-- table_tdam.py: end -->"


class Row(NamedTuple):
    """A published configuration and what is published about it."""

    name: str
    options: dict[str, Any]
    parameters: str
    macs: str
    source: str


ROWS = (
    Row("resnet50", {}, "25.56", "4.12", "paper"),
    Row("resnet50_tdam.joint_t2_m1", {}, "27.65", "4.59", "paper"),
    Row("resnet50_tdam.top_t2_m1", {}, "27.06", "4.59", "paper"),
    Row("resnet50_tdam.top_t2_m3", {}, "27.79", "6.2", "authors' notebook"),
    Row("resnet50_tdam.top_t2_m3_paper", {}, "27.66", "5.98", "paper"),
    Row("resnet101_tdam.joint_t2_m1", {}, "46.75", "8.37", "paper"),
    Row("resnet101_tdam.joint_t2_m1_layer4", {}, "45.94", "8.01", "paper"),
    Row("resnet18_tdam.joint_t2_m2", {}, "", "", ""),
    Row("resnet18_tdam.top_t2_m1", {}, "11.774504", "2.29", "authors' log"),
    Row("resnet18_tdam.joint_t2_m2", {"attention": "top"}, "11.767336", "2.63", "authors' log"),
    Row("resnet34_tdam.joint_t2_m2", {}, "22.074152", "5.64", "authors' log"),
    Row("resnet34_tdam.joint_t2_m1", {}, "22.098728", "4.72", "authors' log"),
    Row("resnet152_tdam.joint_t2_m1", {}, "", "", ""),
    Row("convnext_tiny", {}, "", "", ""),
    Row("convnext_tiny_tdam.joint_t2_m1", {}, "", "", ""),
    Row("convnext_tiny_tdam.joint_t2_m1", {"distance": 2}, "", "", ""),
    Row("mobilenetv3_large_100_tdam.joint_t2_m1", {}, "", "", ""),
    Row("efficientnet_b0_tdam.joint_t2_m1", {}, "", "", ""),
    Row("vgg16_tdam.joint_t2_m1", {}, "", "", ""),
)


def main(write: bool = False) -> None:
    """Print the table.

    Args:
        write: Put it into docs/tdam.md as well, between its two marks.
    """
    text = table()
    print(text)
    if write:
        document = DOCUMENT.read_text(encoding="utf-8")
        pattern = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.DOTALL)
        DOCUMENT.write_text(pattern.sub(lambda _: f"{START}\n{text}\n{END}", document), encoding="utf-8")


def table() -> str:
    """The table in Markdown. Multiply-accumulates at the name's own input size, 1000 classes."""
    lines = [
        "| configuration | parameters M | MACs G, conv + linear | MACs G, ptflops | published M / G | source |",
        "| --- | ---: | ---: | ---: | --- | --- |",
    ]
    for row in ROWS:
        # Shapes suffice: no storage is needed on the meta device.
        with torch.device("meta"):
            model = tdam.create_model(row.name, num_classes=1000, **row.options)
        macs = count_macs(model, timm.data.resolve_data_config(model=model)["input_size"])
        parameters = sum(parameter.numel() for parameter in model.parameters())
        changed = "".join(f", {key}={value!r}" for key, value in row.options.items())
        published = f"{row.parameters} / {row.macs}" if row.macs else ""
        lines.append(
            f"| `{row.name}`{changed} | {parameters / 1e6:.6f} | {macs.conv_linear / 1e9:.3f} | "
            f"{macs.ptflops / 1e9:.2f} | {published} | {row.source} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    tyro.cli(main)
