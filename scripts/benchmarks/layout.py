"""A forward pass with convolution weights as PyTorch stores them, and with channels last, as `wsol-eval` stores them.

    python scripts/benchmarks/layout.py [--networks resnet50 vgg16 …] [--batch-size 8] [--rounds 5]

Networks of timm with random weights, 224 px. Both layouts alternate; CPU milliseconds per image, least of the rounds,
and the largest difference of the logits as a share of the largest logit.
"""

from __future__ import annotations

import argparse
import copy
import time

import timm
import torch
from machine import machine
from torch import Tensor, nn

import tdam  # noqa: F401 - registers its networks
from wsol.networks.convolutions import lay_out
from wsol.runtime.memory import keep_freed_memory

NETWORKS = (
    "resnet50_tdam",
    "resnet50",
    "resnet18",
    "vgg16",
    "densenet121",
    "inception_v3",
    "tf_efficientnet_lite0",
    "mobilenetv3_large_100",
    "convnext_tiny",
    "swin_tiny_patch4_window7_224",
    "vit_small_patch16_224",
)


def timed(network: nn.Module, images: Tensor) -> tuple[float, Tensor]:
    """CPU milliseconds per image of a forward pass, and its logits."""
    start = time.process_time()
    logits = network(images)
    return 1e3 * (time.process_time() - start) / len(images), logits


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    images = torch.randn(arguments.batch_size, 3, 224, 224)
    print(machine())
    print(f"{'network':<30} {'plain':>8} {'channels last':>14} {'saved':>7} {'difference':>11}")
    for name in arguments.networks:
        plain = timm.create_model(name).eval()
        last = copy.deepcopy(plain)
        lay_out(last, torch.channels_last)
        rounds = [(timed(plain, images), timed(last, images)) for _ in range(arguments.rounds)]
        (before, logits), (after, others) = (min(side, key=lambda one: one[0]) for side in zip(*rounds, strict=True))
        difference = float((logits - others).abs().max() / logits.abs().max())
        print(f"{name:<30} {before:>8.1f} {after:>14.1f} {1 - after / before:>7.0%} {difference:>11.0e}", flush=True)


if __name__ == "__main__":
    main()
