"""The stages of a timm network and the blocks inside them, by name: where methods attach, and where they cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from timm.data import resolve_model_data_config
from timm.models.vgg import VGG
from torch import Tensor, nn

from tdam.errors import UserError, check_name
from tdam.families.vgg import VGGGap
from tdam.strides import set_strides

# Children of a network at which its features end; whatever holds the classifier ends them too.
HEADS = ("global_pool", "pre_logits", "head", "head_drop", "forward_head")
PROBE_SIZE = 64


def stage_names(network: nn.Module) -> list[str]:
    """Names of the modules that end each stage, first stage first (timm's ``feature_info``).

    Raises:
        UserError: If the network does not tell its stages.
    """
    modules = dict(network.named_modules())
    names = [info["module"] for info in _feature_info(network)]
    if len(names) < 2 or any(name not in modules for name in names):
        raise UserError(f"{type(network).__name__} does not tell its stages; name the modules yourself")
    return names


def block_names(network: nn.Module, stage: str) -> list[str]:
    """Names of a stage's blocks in order, or the stage itself where it is a single block or plain layers (VGG)."""
    module = network.get_submodule(stage)
    blocks = getattr(module, "blocks", module)
    prefix = f"{stage}.blocks" if blocks is not module else stage
    if not isinstance(blocks, nn.Sequential) or isinstance(network, VGGGap):
        return [stage]
    return [f"{prefix}.{name}" for name, _ in blocks.named_children()]


def named_module(network: nn.Module, name: str) -> nn.Module:
    """A module by name.

    Raises:
        UnknownNameError: If there is none; the valid names come nearest first.
    """
    modules = dict(network.named_modules())
    return modules[check_name(f"module of {type(network).__name__}", name, [key for key in modules if key])]


class Cut(NamedTuple):
    """A network cut before its last stage: names of the modules to run one after the other.

    Attributes:
        low: From the image to the end of the last stage but one.
        high: From there to the features under global pooling.
    """

    low: tuple[str, ...]
    high: tuple[str, ...]


def cut_before_last_stage(network: nn.Module) -> Cut:
    """Where the last stage begins, in a network that runs its modules one after the other.

    Raises:
        UserError: If the network does not tell its stages, or is no such chain.
    """
    *_, before, _ = stage_names(network)
    chain = list(_chain(network, before))
    position = next((index for index, name in enumerate(chain) if before == name), None)
    if position is None:
        raise _not_a_chain(network)
    cut = Cut(tuple(chain[: position + 1]), tuple(chain[position + 1 :]))
    check_cut(network, cut)
    return cut


def run_modules(network: nn.Module, names: tuple[str, ...], features: Tensor) -> Tensor:
    """Output ``(B, D, h, w)`` of modules, one after the other."""
    for name in names:
        features = network.get_submodule(name)(features)
    return features


def check_cut(network: nn.Module, cut: Cut) -> None:
    """Check that both parts, one after the other, are the network.

    Raises:
        UserError: If they are not.
    """
    with torch.no_grad(), _probing(network) as image:
        try:
            ours = run_modules(network, cut.high, run_modules(network, cut.low, image))
            whole: Any = network
            theirs = whole.forward_features(image)
        except (RuntimeError, TypeError) as error:
            raise _not_a_chain(network) from error
    if ours.shape != theirs.shape or not torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5):
        raise _not_a_chain(network)


def remove_last_strides(network: nn.Module, cut: Cut, finest: int = 8) -> None:
    """Let the last stage run without stride, and the stage before it where its stride is above `finest`; in place.

    Args:
        network: The network.
        cut: Its two parts.
        finest: Stride of the image at which the last stage but one stays as it is.
    """
    *_, earlier, before, _ = _feature_info(network)
    names = [name for name in cut.high if not isinstance(network.get_submodule(name), nn.MaxPool2d)]
    if before["reduction"] > finest:
        names += cut.low[cut.low.index(earlier["module"]) + 1 :] if earlier["module"] in cut.low else cut.low[-1:]
    set_strides(network, dict.fromkeys(names, 1))
    check_cut(network, cut)


def output_channels(network: nn.Module, names: tuple[str, ...] | list[str]) -> list[int]:
    """Channels of modules' outputs, seen by one small image."""
    found: dict[str, int] = {}

    def look(name: str) -> Any:
        return lambda module, inputs, output: found.__setitem__(name, output.shape[1])

    hooks = [named_module(network, name).register_forward_hook(look(name)) for name in names]
    with torch.no_grad(), _probing(network, input_size(network)) as image:
        network(image)
    for hook in hooks:
        hook.remove()
    return [found[name] for name in names]


def input_size(network: nn.Module) -> tuple[int, int]:
    """Height and width of a network's input."""
    _, height, width = resolve_model_data_config(network)["input_size"]
    return height, width


def is_vgg(network: nn.Module) -> bool:
    """Whether a network is of timm's VGG family, ours without fully connected layers included."""
    return isinstance(network, VGG)


class _probing:
    """A small image for a network in eval mode; the modes of its modules come back afterwards."""

    def __init__(self, network: nn.Module, size: tuple[int, int] = (PROBE_SIZE, PROBE_SIZE)) -> None:
        self.network, self.size = network, size
        self.modes = [(module, module.training) for module in network.modules()]

    def __enter__(self) -> Tensor:
        self.network.eval()
        parameter = next(self.network.parameters())
        height, width = self.size
        values = torch.linspace(-1, 1, 3 * height * width, device=parameter.device, dtype=parameter.dtype)
        return values.view(1, 3, height, width)

    def __exit__(self, *_: object) -> None:
        for module, training in self.modes:
            module.training = training


def _chain(network: nn.Module, stage: str) -> Iterator[str]:
    """Names of what `forward_features` runs, the containers that hold `stage` opened."""
    classifier: Any = network
    ends = {name for name, module in network.named_children() if module is classifier.get_classifier()}
    for name, module in network.named_children():
        if name in HEADS or name in ends:
            return
        yield from _opened(name, module, stage)


def _opened(name: str, module: nn.Module, stage: str) -> Iterator[str]:
    if not stage.startswith(f"{name}."):
        yield name
        return
    for child, inner in module.named_children():
        yield from _opened(f"{name}.{child}", inner, stage)


def _not_a_chain(network: nn.Module) -> UserError:
    return UserError(
        f"{type(network).__name__} cannot be cut before its last stage, or its last stages cannot run without stride; "
        "ResNets, VGG-16-GAP, EfficientNets, MobileNets and ConvNeXts can"
    )


def _feature_info(network: nn.Module) -> Any:
    """Timm's description of the stages: mappings with "module", "num_chs", "reduction"; empty where there is none."""
    return getattr(network, "feature_info", ())
