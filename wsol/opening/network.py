"""One way to open whatever people have for a network.

network = open_network("resnet50_tdam", checkpoint="best.safetensors")
network = open_network("best.safetensors")                      # a checkpoint of ours says what it is of
network = open_network(torchvision.models.resnet50(weights="DEFAULT"), class_names=names)
print(network.source, network.structure().describe())
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from tdam.checkpoints import find_config
from tdam.errors import UserError
from wsol.networks.reading import check_weights
from wsol.networks.wrappers import unwrap
from wsol.opening import sources
from wsol.opening.architectures import is_foreign
from wsol.opening.preprocessing import class_names_of, preprocessing_of
from wsol.opening.trained import TrainedNetwork, open_trained
from wsol.runtime.runs import BEST, RUNS, run_folder

ModelSource = str | os.PathLike[str] | nn.Module | TrainedNetwork


def open_network(
    model: ModelSource,
    checkpoint: str | os.PathLike[str] | None = None,
    *,
    dataset: str | None = None,
    num_classes: int | None = None,
    train_with: str | None = None,
    model_args: Mapping[str, Any] | None = None,
    transform: Callable[..., Any] | None = None,
    class_names: Sequence[str] | None = None,
    input_size: int | Sequence[int] | None = None,
    feature_layer: str | None = None,
    classifier: str | None = None,
    runs: str | os.PathLike[str] = RUNS,
) -> TrainedNetwork:
    """Open a network, ready to localize.

    Args:
        model: A registered name; a checkpoint file of ours, alone; a folder of `save_pretrained`; a name on the hub,
            "hf-hub:…" or "timm/…"; "torchvision/…"; "package.module:function"; a module of any library; or an opened
            network.
        checkpoint: Weights to load into it.
        dataset: Dataset it is to be used on; chooses the weights of a registered name.
        num_classes: Number of classes that it must tell apart.
        train_with: See `open_trained`.
        model_args: Arguments of "package.module:function" or options of "torchvision/…".
        transform: From a PIL image to the tensor ``(3, H, W)`` that the network sees, instead of one resize.
        class_names: Readable names of all classes.
        input_size: Side or (height, width) in pixels, instead of the network's own.
        feature_layer: Module whose output is pooled, instead of the one found.
        classifier: The linear layer that classifies, instead of the one found.
        runs: Folder that `wsol-train` writes into.

    Raises:
        UserError: If the network or its weights are not to be had, hold no finite numbers, or do not fit what is asked.
    """
    if model_args and not (isinstance(model, str) and (sources.is_function(model) or sources.is_torchvision(model))):
        raise UserError("model_args go with a model named package.module:function or torchvision/NAME")
    if isinstance(model, TrainedNetwork):
        if checkpoint is not None:
            raise UserError("this network has its weights already: leave checkpoint out")
        opened = model
    elif isinstance(model, nn.Module):
        opened = _opened(model, type(unwrap(model)).__name__, checkpoint, "weights as given in memory")
    else:
        trained = partial(
            open_trained,
            dataset=dataset,
            num_classes=num_classes,
            runs=runs,
            train_with=train_with,
        )
        if not isinstance(model, str | os.PathLike):
            kind = f"the class {model.__name__}: call it" if isinstance(model, type) else type(model).__name__
            raise UserError(f"model must be a name, a file, a folder or a torch.nn.Module, not {kind}")
        name, arguments = os.fspath(model), dict(model_args or {})
        if not name:
            raise UserError("--model is empty: give a name, a file or a folder")
        found = None if arguments or checkpoint is not None else _own_run(name, dataset, runs)
        opened = trained(name, checkpoint=found) if found else _by_name(name, checkpoint, arguments, trained)
    overrides: dict[str, Any] = {
        "transform": transform,
        "feature_layer": feature_layer,
        "classifier": classifier,
        "class_names": None if class_names is None else tuple(class_names),
    }
    opened = dataclasses.replace(opened, **{key: value for key, value in overrides.items() if value is not None})
    if input_size is not None:
        opened = dataclasses.replace(opened, preprocessing=_resized(opened, input_size))
    check_weights(unwrap(opened.model))
    opened.check(num_classes)
    return opened


def _own_run(name: str, dataset: str | None, runs: str | os.PathLike[str]) -> Path | None:
    """What `wsol-train` wrote of a network that is in no registry; those in one are looked for by `open_trained`."""
    if dataset is None or not is_foreign(name):
        return None
    path = run_folder(dataset, name, runs) / BEST
    return path if path.is_file() else None


def _by_name(
    name: str,
    checkpoint: str | os.PathLike[str] | None,
    model_args: dict[str, Any],
    trained: Callable[..., TrainedNetwork],
) -> TrainedNetwork:
    if checkpoint is not None and is_foreign(name) and Path(checkpoint).is_file() and find_config(Path(checkpoint)):
        return trained(name, checkpoint=checkpoint)
    if sources.is_torchvision(name):
        return _of_torchvision(name, checkpoint, model_args)
    if sources.is_hub_name(name):
        return _opened(sources.from_hub(name), name, checkpoint, f"published as {name}")
    if sources.is_function(name):
        return _opened(sources.call_function(name, model_args), name, checkpoint, f"what {name} returned")
    path = Path(name)
    if path.is_dir():
        return _opened(sources.from_folder(path), name, checkpoint, f"folder {name}")
    if path.is_file() or path.suffix in sources.WEIGHT_SUFFIXES:
        if checkpoint is not None:
            raise UserError(f"two checkpoints are named, {name} and {checkpoint}: name one")
        return trained(sources.name_in_file(path), checkpoint=path)
    sources.check_spelling(name)
    return trained(name, checkpoint=checkpoint)


def _of_torchvision(name: str, checkpoint: str | os.PathLike[str] | None, model_args: dict[str, Any]) -> TrainedNetwork:
    if checkpoint is not None:
        network = sources.from_torchvision(name, {**model_args, "weights": None})
        return _opened(network, name, checkpoint, f"file {checkpoint}")
    if "weights" in model_args and model_args["weights"] is None:
        raise UserError(f"--model {name}: weights=None leaves it untrained: leave it out, or name --checkpoint FILE")
    network = sources.from_torchvision(name, model_args)
    opened = _opened(network, name, None, "published by torchvision, trained on ImageNet")
    return dataclasses.replace(opened, class_names=sources.torchvision_classes(name))


def _opened(network: nn.Module, name: str, checkpoint: str | os.PathLike[str] | None, source: str) -> TrainedNetwork:
    inner = unwrap(network)
    if checkpoint is not None:
        sources.load_weights(inner, checkpoint)
        source = f"file {checkpoint}"
    return TrainedNetwork(network.eval(), name, class_names_of(inner), source, preprocessing_of(inner))


def _resized(opened: TrainedNetwork, input_size: int | Sequence[int]) -> dict[str, Any]:
    preprocessing = dict(opened.preprocessing)
    given = preprocessing_of(unwrap(opened.model), input_size)["input_size"]
    # timm's transformers are built for one size and change to another on request.
    resize = getattr(unwrap(opened.model), "set_input_size", None)
    if resize is not None and given != preprocessing["input_size"]:
        resize(img_size=given[-2:])
    return preprocessing | {"input_size": given}
