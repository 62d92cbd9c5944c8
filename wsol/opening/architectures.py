"""Networks to be trained, of any library, and how a checkpoint says which one it holds.

network = build("torchvision/resnet18", num_classes=200)
network = build("my_networks:build", num_classes=200, arguments={"depth": 50})
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
from torch import nn

import tdam
from tdam.errors import CheckpointError, UserError
from wsol.networks import structure_of
from wsol.opening import sources
from wsol.opening.preprocessing import preprocessing_of, tell_input_size


def is_foreign(name: str) -> bool:
    """Whether a network is built by something else than the registry of timm and TDAM."""
    is_named_elsewhere = sources.is_function(name) or sources.is_torchvision(name) or sources.is_hub_name(name)
    return is_named_elsewhere or sources.is_saved_folder(name)


def is_of_foreign(config: Mapping[str, Any]) -> bool:
    """Whether the configuration of a checkpoint describes such a network; it may have come from a folder now gone."""
    return "architecture" in config or is_foreign(config.get("model", ""))


def build(
    name: str,
    num_classes: int,
    arguments: Mapping[str, Any] | None = None,
    pretrained: bool = False,
    input_size: Sequence[int] | None = None,
) -> nn.Module:
    """The network of a name, to be trained on some classes.

    A network of the hub, of a folder or of a function brings the weights it has, in float32. If it tells other
    classes apart, its classifier is replaced and begins anew.

    Args:
        name: A registered name, "torchvision/…", "package.module:function", a name on the hub or a folder.
        num_classes: Classes to tell apart.
        arguments: Options of the network.
        pretrained: Start from the published weights, of registered and torchvision's names.
        input_size: Height and width of its images; a function's network may take these alone.

    Raises:
        UserError: If there is no such network, or its classifier cannot be replaced.
    """
    given = dict(arguments or {})
    if sources.is_torchvision(name):
        if not pretrained:
            return sources.from_torchvision(name, {"num_classes": num_classes, **given, "weights": None})
        return with_classes(sources.from_torchvision(name, given), num_classes)
    if sources.is_function(name):
        network = sources.call_function(name, given).float()
        if input_size is not None:
            tell_input_size(network, input_size)
        return with_classes(network, num_classes)
    if given and is_foreign(name):
        raise UserError(f"--model-args {', '.join(given)}: {name} comes as it is and takes no options")
    if sources.is_hub_name(name):
        return with_classes(sources.from_hub(name).float(), num_classes)
    if sources.is_saved_folder(name):
        return with_classes(sources.from_folder(Path(name)).float(), num_classes)
    sources.check_spelling(name)
    return tdam.create_model(name, num_classes=num_classes, pretrained=pretrained, **given)


def with_classes(network: nn.Module, num_classes: int) -> nn.Module:
    """The network with a new classifier, where it tells another number of classes apart; in place.

    Raises:
        UserError: If its classifier is no module of its own that could be replaced.
    """
    shape = preprocessing_of(network)["input_size"]
    structure = structure_of(network, shape)
    if structure.num_classes == num_classes:
        return network
    names = classifier_modules(network)
    for name in names:
        old: Any = network.get_submodule(name)
        parent, _, leaf = name.rpartition(".")
        setattr(network.get_submodule(parent), leaf, _like(old, num_classes))
    if not names or structure_of(network, shape).num_classes != num_classes:
        raise UserError(
            f"{type(network).__name__} tells {structure.num_classes} classes apart and its classifier cannot be "
            f"replaced: build it for {num_classes} classes, for example by --model-args num_classes={num_classes}"
        )
    if hasattr(network, "num_classes"):
        network.num_classes = num_classes  # type: ignore[assignment]
    config: Any = getattr(network, "config", None)
    if hasattr(config, "num_labels"):
        config.num_labels = num_classes
    return network


def classifier_modules(network: nn.Module) -> tuple[str, ...]:
    """Names of the linear layers that classify."""
    configuration: Any = getattr(network, "pretrained_cfg", None)
    if configuration:
        names = configuration["classifier"]
        return (names,) if isinstance(names, str) else tuple(names)
    structure = structure_of(network, preprocessing_of(network)["input_size"])
    return tuple(name for name in (head.weight.rpartition(".")[0] for head in structure.heads) if name)


def num_classes_of(network: nn.Module) -> int:
    """Number of classes of a network, of timm or any other library."""
    if hasattr(network, "pretrained_cfg"):
        return int(network.num_classes)  # type: ignore[arg-type]
    return structure_of(network, preprocessing_of(network)["input_size"]).num_classes


def _like(layer: nn.Module, outputs: int) -> nn.Module:
    """A new layer of the same kind with other outputs."""
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, outputs, layer.bias is not None)
    if isinstance(layer, nn.Conv2d):
        return nn.Conv2d(layer.in_channels, outputs, layer.kernel_size, bias=layer.bias is not None)  # type: ignore[arg-type]
    raise UserError(f"a classifier that is a {type(layer).__name__} cannot be replaced: build it for {outputs} classes")


def architecture(network: nn.Module, name: str) -> dict[str, Any] | None:
    """What a checkpoint needs to build a network without the hub or folder it came from; None for other names."""
    if not (sources.is_hub_name(name) or sources.is_saved_folder(name)):
        return None
    configuration: Any = getattr(network, "pretrained_cfg", None)
    if configuration:
        return {"library": "timm", "name": configuration["architecture"]}
    config: Any = network.config
    return {"library": "transformers", "config": config.to_dict()}


def build_saved(config: Mapping[str, Any], named: str | None = None) -> nn.Module:
    """The network that a checkpoint of ours describes, without its weights.

    Args:
        config: The configuration inside the file.
        named: The network as the user named it. A function is called only if it is that one: a file from elsewhere
            could name any function.

    Raises:
        CheckpointError: If the file names a function that the user did not.
    """
    name, classes = config["model"], config["num_classes"]
    if sources.is_function(name) and name != named:
        raise CheckpointError(
            f"the checkpoint is of {name}, a function, which a file alone may not call: name it too, "
            f"as in --model {name} --checkpoint FILE"
        )
    described = config.get("architecture")
    if described is None:
        shape = config.get("input_size")
        return build(name, classes, config.get("model_args"), input_size=shape and shape[1:])
    if described.get("library") == "timm":
        return timm.create_model(described["name"], num_classes=classes)
    return with_classes(sources.from_config(described["config"]), classes)


__all__ = [
    "architecture",
    "build",
    "build_saved",
    "classifier_modules",
    "is_foreign",
    "is_of_foreign",
    "num_classes_of",
    "with_classes",
]
