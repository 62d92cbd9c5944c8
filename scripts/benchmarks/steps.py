"""What seeing every step costs, beside one plain forward of the same network.

python scripts/benchmarks/steps.py
python scripts/benchmarks/steps.py --networks resnet50_tdam --steps 2 --batch-size 8 --compiled
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
import tyro
from machine import machine
from torch import Tensor, nn

import tdam
from eval.maps.inference import compiled_steps
from tdam.folding import fold_norms

NETWORKS = (
    "resnet50_tdam",
    "resnet18_tdam",
    "convnext_tiny_tdam",
    "efficientnet_b0_tdam",
    "mobilenetv3_large_100_tdam",
)


def main(
    networks: tuple[str, ...] = NETWORKS,
    steps: tuple[int, ...] = (2, 3),
    batch_size: int = 8,
    size: int = 224,
    repeats: int = 5,
    threads: int = 1,
    fast: bool = True,
    compiled: bool = False,
) -> None:
    """Measure every way to see all steps, and the faster forms of inference.

    Args:
        networks: Names of TDAM networks.
        steps: Values of T.
        batch_size: Images in a batch.
        size: Height and width in pixels.
        repeats: Each way runs so often, in turn with the others; the least CPU time counts.
        threads: Threads of PyTorch.
        fast: Measure the faster forms of inference as well.
        compiled: Measure torch.compile as well; every network takes minutes to compile.
    """
    torch.set_num_threads(threads)
    print(f"{machine()}; PyTorch {torch.__version__}, {threads} thread(s); batch {batch_size}, {size} px, fp32")
    print("CPU time relative to one plain forward of the same network; the plain forward in milliseconds")
    if fast:
        print("from `folded` on: forward_steps of a network so prepared, relative to the unprepared plain forward")
    for name in networks:
        for t in steps:
            model = tdam.create_model(name, steps=t).eval()
            images = torch.randn(batch_size, 3, size, size)
            measured = ways(model, images, fast)
            if compiled:
                measured |= compiled_ways(model, images)
            times = least_times(measured, repeats)
            plain = times.pop("plain")
            ratios = (f"{way} {value / plain:.2f}" for way, value in times.items())
            print(f"{name} T={t}: plain {1000 * plain:.0f} ms; {', '.join(ratios)}", flush=True)


def ways(model: nn.Module, images: Tensor, fast: bool) -> dict[str, Callable[[], object]]:
    """Every way to measure, by name."""
    singles = [tdam.at_step(model, t) for t in range(1, tdam.num_steps(model) + 1)]
    all_steps = tdam.stepwise(model)
    found: dict[str, Callable[[], object]] = {
        "plain": lambda: model(images),
        "re-run": lambda: [single(images) for single in singles],
        "forward_steps": lambda: all_steps(images),
    }
    if hasattr(model, "layer4"):
        found["shared stages"] = lambda: shared_stages(model, singles, images)
    if not fast:
        return found
    folded = tdam.stepwise(fold_norms(model))
    last = tdam.stepwise(copy.deepcopy(model).to(memory_format=torch.channels_last))
    last_images = images.to(memory_format=torch.channels_last)
    both = tdam.stepwise(fold_norms(model).to(memory_format=torch.channels_last))

    found |= {
        "folded": lambda: folded(images),
        "channels-last": lambda: last(last_images),
        "folded channels-last": lambda: both(last_images),
    }
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():  # elsewhere PyTorch computes bfloat16 by slow detours

        def half() -> object:
            with torch.autocast("cpu", torch.bfloat16):
                return both(last_images)

        found["folded channels-last bf16"] = half
    return found


def compiled_ways(model: nn.Module, images: Tensor) -> dict[str, Callable[[], object]]:
    """All steps through torch.compile, as `wsol-eval --compile` runs them, and with the other faster forms."""
    both = fold_norms(model).to(memory_format=torch.channels_last)
    last_images = images.to(memory_format=torch.channels_last)
    alone, together = compiled_steps(model), compiled_steps(both)
    return {"compiled": lambda: alone(images), "folded channels-last compiled": lambda: together(last_images)}


def shared_stages(model: nn.Module, singles: list[nn.Module], images: Tensor) -> list[Tensor]:
    """The TDAM code's `output_over_t`, for ResNets: all before the last stage once, the last stage for each step."""
    x = model.maxpool(model.act1(model.bn1(model.conv1(images))))
    x = model.layer3(model.layer2(model.layer1(x)))
    return [single.forward_head(single.layer4(x)) for single in singles]


@torch.inference_mode()
def least_times(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The least CPU seconds of each function, run in turn so that a busy machine disturbs all alike."""
    for function in functions.values():
        function()
    times = {name: float("inf") for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.process_time()
            function()
            times[name] = min(times[name], time.process_time() - start)
    return times


if __name__ == "__main__":
    tyro.cli(main)
