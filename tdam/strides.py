"""Strides of a network's stages taken out without dilation, for finer maps.

Localization papers run the last stages of their CNNs without stride and leave the convolutions as they are; timm's
`output_stride` dilates them instead, which is another network. wsolevaluation's ResNet-50 is ``{"layer4": 1}``, with
its large feature map ``{"layer3": 1, "layer4": 1}``; VGG-16 with 28x28 maps is ``{"features.pool4": 1}``.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from tdam.errors import UserError, check_name

POOLS = (nn.MaxPool2d, nn.AvgPool2d)


def set_strides(network: nn.Module, strides: Mapping[str, int]) -> nn.Module:
    """Let stages run without stride, in place; the weights stay as they are.

    Args:
        network: A CNN.
        strides: Name of a stage, or of a pooling layer -> 1. A stage keeps its stride where it is not named.

    Returns:
        The same network.

    Raises:
        UnknownNameError: If a name is no module of the network.
        UserError: If another stride than 1 is asked for.
    """
    modules = dict(network.named_modules())
    for name, stride in strides.items():
        check_name(f"module of {type(network).__name__}", name, [key for key in modules if key])
        if stride != 1:
            raise UserError(f"strides: {name} can be given stride 1, not {stride}; leave it out to keep its own")
        _remove_stride(network, name)
    return network


def _remove_stride(network: nn.Module, name: str) -> None:
    stage = network.get_submodule(name)
    for path, module in list(stage.named_modules(prefix=name)):
        if isinstance(module, nn.Conv2d) and module.stride != (1, 1):
            _convolve_every_place(network, path, module)
        elif isinstance(module, POOLS) and module.stride not in (1, (1, 1)):
            _replace(network, path, nn.Identity())


def _convolve_every_place(network: nn.Module, path: str, convolution: nn.Conv2d) -> None:
    if convolution.kernel_size[0] % 2:
        convolution.stride = (1, 1)
        return
    # An even kernel, such as ConvNeXt's 2x2 between stages, needs a place more on one side to keep the map's size.
    same = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        (convolution.kernel_size[0], convolution.kernel_size[1]),
        padding="same",
        groups=convolution.groups,
        bias=convolution.bias is not None,
    )
    same.weight, same.bias = convolution.weight, convolution.bias
    _replace(network, path, same)


def _replace(network: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    network.get_submodule(parent).add_module(name, module)
