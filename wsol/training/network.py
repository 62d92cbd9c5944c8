"""The network of a run: built, started from other weights, partly frozen."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

import tdam
from tdam.checkpoints import in_our_names, read_state_dict
from tdam.errors import UsageError, UserError, check_name
from tdam.families.vgg import NEW_CLASSIFIERS
from tdam.models import set_input_size
from wsol.methods import METHODS, Method, create_method
from wsol.methods.initial import initialise_classifier
from wsol.opening.architectures import architecture, build, build_saved, classifier_modules, is_foreign
from wsol.opening.preprocessing import preprocessing_of
from wsol.opening.sources import is_function
from wsol.training.config import TrainingConfig

FEEDBACK_SUFFIX = re.compile(r"_tdam2?$")


def create_network(config: TrainingConfig, num_classes: int) -> nn.Module:
    """Build the configured network, its weights as the setting `init` says.

    Raises:
        UserError: If the network or one of its options is unknown, or its first weights are not found.
    """
    pretrained = config.init == "pretrained"
    if pretrained and is_function(config.model):
        raise UsageError(
            f"--init pretrained: {config.model} itself decides on its weights: leave init out, or give a file"
        )
    size = None if config.input_size is None else (config.input_size, config.input_size)
    network = build(config.model, num_classes, config.model_args, pretrained, size)
    if is_foreign(config.model):
        check_carries_its_model(network, config, num_classes)
    elif size is not None:
        set_input_size(network, *size)
    begins_new = not pretrained or num_classes != published_classes(network)
    if config.init == "backbone":
        base = FEEDBACK_SUFFIX.sub("", config.model)
        if base == config.model:
            raise UsageError(f"init backbone is for networks with feedback; {base} takes init pretrained")
        begins_new = start_from(network, tdam.create_model(base, pretrained=True).state_dict())
    elif config.init is not None and not pretrained:
        begins_new = start_from(network, in_our_names(network, read_state_dict(config.init), config.init))
    std = METHODS[config.method].classifier_std if config.classifier_std is None else config.classifier_std
    if begins_new and std is not None:
        initialise_classifier((network.get_submodule(name) for name in classifier_modules(network)), std)
    return network


def create_configured_method(config: TrainingConfig, num_classes: int) -> Method:
    """Build the configured network, and the configured method around it.

    Raises:
        UserError: If the network, the method or one of their options is unknown, or they do not go together.
    """
    return create_method(
        config.method,
        create_network(config, num_classes),
        config.method_args,
        label_smoothing=config.label_smoothing,
        step_loss_weights=config.step_loss_weights,
        step_diversity=config.step_diversity,
    )


def check_carries_its_model(network: nn.Module, config: TrainingConfig, num_classes: int) -> None:
    """Check before training that a checkpoint of this network could be opened again.

    Raises:
        UserError: If what builds the network again builds another one.
    """
    shape = preprocessing_of(network, config.input_size)["input_size"]
    again = build_saved({**saved_model(network, config, num_classes), "input_size": shape}, config.model)
    shapes = [{key: tuple(value.shape) for key, value in one.state_dict().items()} for one in (network, again)]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"{config.model} builds another network the second time, so a checkpoint of it could not be opened again"
        )


def saved_model(network: nn.Module, config: TrainingConfig, num_classes: int) -> dict[str, Any]:
    """What a checkpoint says of the network that it holds."""
    described = architecture(network, config.model)
    said = {"model": config.model, "num_classes": num_classes, "model_args": config.model_args}
    return said if described is None else {**said, "architecture": described}


def published_classes(network: nn.Module) -> int | None:
    """Number of classes of a network's published classifier; None where only the layers before it are published."""
    configuration: Any = getattr(network, "pretrained_cfg", None)
    if not configuration:
        return None
    return None if configuration["architecture"] in NEW_CLASSIFIERS else configuration["num_classes"]


def start_from(network: nn.Module, state: dict[str, Tensor]) -> bool:
    """Load weights of a network that may have other classes, and may lack the feedback parts.

    Returns:
        Whether the classifier begins anew.

    Raises:
        CheckpointError: If anything but the classifier and the feedback parts does not fit.
    """
    own = network.state_dict()
    classifier = tuple(f"{name}." for name in classifier_modules(network))
    fresh = {
        key: value
        for key, value in own.items()
        if key.startswith(classifier) and (key not in state or state[key].shape != value.shape)
    }
    with tempfile.TemporaryDirectory() as folder:
        # Through a file, for tdam's own strict check and its conversion of names.
        path = Path(folder) / "weights.safetensors"
        safetensors.torch.save_file({key: value.contiguous() for key, value in {**state, **fresh}.items()}, path)
        tdam.load_checkpoint(network, path)
    return bool(fresh)


def freeze_modules(network: nn.Module, names: Iterable[str]) -> None:
    """Stop training of modules: no gradient, and norms and dropout as in evaluation.

    Call again after ``network.train()``, which undoes the latter.

    Raises:
        UnknownNameError: If a name is no module of the network.
    """
    modules = dict(network.named_modules())
    for name in names:
        check_name("module to freeze", name, [key for key in modules if key])
        modules[name].requires_grad_(False).eval()
