"""Finding trained weights for a network and a dataset, and opening them. Random weights are never used.

The order: a checkpoint named by the user; what `wsol-train` wrote (`runs/<dataset>/<model>/best.safetensors`);
weights bundled with this package; weights published by timm or by the TDAM authors.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import timm
from PIL import Image
from torch import Tensor, nn

import tdam
from tdam.checkpoints import classes_of, find_config, read_state_dict
from tdam.errors import CheckpointError, UserError
from tdam.families.vgg import NEW_CLASSIFIERS
from tdam.models import check_model_name
from wsol.data.transforms import evaluation_transform
from wsol.networks.errors import NetworkError
from wsol.networks.reading import structure_of
from wsol.networks.structure import Structure
from wsol.networks.wrappers import makes_own_maps, unwrap
from wsol.opening.architectures import is_of_foreign
from wsol.opening.preprocessing import preprocessing_of
from wsol.runtime.runs import BEST, RUNS, run_folder, train_command

BUNDLED = Path(__file__).parent.parent / "weights"
# Networks for which weights trained on a dataset are published, so that `pretrained=True` is an answer.
PUBLISHED_DATASET = "imagenet"


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with trained weights, ready to localize.

    Attributes:
        model: The network, in eval mode.
        name: Its registered name, or another for people to read.
        class_names: Readable name of every class, or None where the weights do not tell.
        source: Where the weights come from, for people to read.
        preprocessing: timm's data configuration: `input_size`, `mean`, `std`, `interpolation`, `crop_pct`.
        transform: From a PIL image to the tensor ``(3, H, W)`` that the network sees; None resizes and normalizes as
            `preprocessing` says.
        feature_layer: Module whose output is pooled, where the one found is not wanted.
        classifier: The linear layer that classifies, where the one found is not wanted.
    """

    model: nn.Module
    name: str
    class_names: tuple[str, ...] | None
    source: str
    preprocessing: dict[str, Any]
    transform: Callable[[Image.Image], Tensor] | None = None
    feature_layer: str | None = None
    classifier: str | None = None

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the network's input in pixels."""
        _, height, width = self.preprocessing["input_size"]
        return height, width

    @property
    def num_classes(self) -> int:
        """Number of classes the network tells apart."""
        network = unwrap(self.model)
        said = getattr(network, "num_classes", None)
        # Other libraries' networks may use the name for something else, or not at all.
        is_known = hasattr(network, "pretrained_cfg") or makes_own_maps(network)
        return said if is_known and isinstance(said, int) else self.structure().num_classes

    def structure(self) -> Structure:
        """How the network gets from its last map to its logits, at its input size.

        Raises:
            NetworkError: If it does not run on images of that size, or cannot be read.
        """
        return structure_of(self.model, self.image_shape, self.feature_layer, self.classifier)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of what the network sees."""
        if self.transform is None:
            channels, height, width = self.preprocessing["input_size"]
            return channels, height, width
        height, width = self.input_size
        channels, height, width = self.image_transform()(Image.new("RGB", (width, height))).shape
        return channels, height, width

    def image_transform(self) -> Callable[[Image.Image], Tensor]:
        """From an RGB image to what the network sees, ``(3, H, W)``.

        The result raises a NetworkError where a transform of one's own gives something else.
        """
        if self.transform is None:
            return evaluation_transform(self.input_size, mean=self.preprocessing["mean"], std=self.preprocessing["std"])
        return partial(_transformed, self.transform)

    def map_size(self) -> tuple[int, int] | None:
        """Rows and columns of the maps; None where the network makes them itself."""
        return None if makes_own_maps(unwrap(self.model)) else self.structure().grid

    def describe(self) -> str:
        """Where the weights come from, and how large the maps are."""
        grid = self.map_size()
        maps = "" if grid is None else f"; maps {grid[0]} x {grid[1]}"
        return f"{self.source}{maps} at {self.image_shape[1]} x {self.image_shape[2]}"

    def check(self, num_classes: int | None = None) -> None:
        """Refuse what does not fit: another number of classes, names for other classes, images it cannot run on.

        Raises:
            UserError: Saying which.
        """
        found = self.num_classes
        if num_classes is not None and found != num_classes:
            raise CheckpointError(f"{self.name} has {found} classes, the dataset has {num_classes}")
        if self.class_names is not None and len(self.class_names) != found:
            raise UserError(f"{len(self.class_names)} class names are given for {found} classes of {self.name}")
        if not makes_own_maps(unwrap(self.model)):
            self.structure()


def _transformed(transform: Callable[[Image.Image], Tensor], image: Image.Image) -> Tensor:
    try:
        tensor = transform(image)
    except Exception as error:  # other people's code may raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NetworkError(f"transform= fails on an RGB image of {image.width} x {image.height}: {reason}") from error
    if not isinstance(tensor, Tensor) or tensor.ndim != 3 or not tensor.is_floating_point():
        given = f"{tuple(tensor.shape)} of {tensor.dtype}" if isinstance(tensor, Tensor) else type(tensor).__name__
        raise NetworkError(f"transform= must give a float tensor (3, H, W), not {given}")
    return tensor


def bundled_datasets() -> list[str]:
    """Datasets for which this package carries trained weights."""
    return sorted(folder.name for folder in BUNDLED.iterdir() if folder.is_dir() and any(folder.glob("*.safetensors")))


def find_checkpoint(
    model_name: str,
    dataset: str | None = None,
    runs: str | os.PathLike[str] = RUNS,
    train_with: str | None = None,
) -> tuple[Path, str]:
    """The checkpoint file to use where the user named none, and where it comes from.

    Args:
        model_name: Registered name of the network.
        dataset: Dataset it must be trained on; None takes the bundled weights of any dataset.
        runs: Folder that `wsol-train` writes into.
        train_with: The command that trains it, for the message; None: the one of a dataset known by name.

    Returns:
        The file and one readable phrase that says what it is.

    Raises:
        UserError: If there is none; the message names the command that trains one.
    """
    datasets = bundled_datasets() if dataset is None else [dataset]
    for name in datasets:
        trained = run_folder(name, model_name, runs) / BEST
        if trained.is_file():
            return trained, f"trained here on {name}"
        bundled = BUNDLED / name / f"{model_name}.safetensors"
        if bundled.is_file():
            return bundled, f"bundled with wsol, trained on {name}"
    wanted = dataset or "minibirds"
    raise UserError(
        f"no trained weights for {model_name} on {wanted}: pass --checkpoint FILE or run "
        f"`{train_with or train_command(model_name, wanted)}`"
    )


def open_trained(
    model_name: str,
    dataset: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    num_classes: int | None = None,
    runs: str | os.PathLike[str] = RUNS,
    train_with: str | None = None,
) -> TrainedNetwork:
    """Build a network and load trained weights into it.

    Args:
        model_name: Registered name of the network.
        dataset: Dataset it is to be used on; chooses the weights where no checkpoint is given.
        checkpoint: A file of ours, of timm's, of the TDAM authors or of a training method's authors.
        num_classes: Number of classes of the dataset; a checkpoint of another number is refused. None takes a
            checkpoint with as many classes as it has.
        runs: Folder that `wsol-train` writes into.
        train_with: See `find_checkpoint`.

    Raises:
        UnknownNameError: If no such network is registered; the valid names come nearest first.
        CheckpointError: If the file is of another network, does not fit, or is not trained.
        UserError: If no trained weights are found.
    """
    described = find_config(Path(checkpoint)) if checkpoint is not None and Path(checkpoint).is_file() else None
    if described is None or not is_of_foreign(described):
        check_model_name(model_name)
    source = f"file {checkpoint}"
    if checkpoint is None:
        try:
            checkpoint, source = find_checkpoint(model_name, dataset, runs, train_with)
        except UserError:
            if dataset not in (None, PUBLISHED_DATASET) or not timm.is_model_pretrained(model_name):
                raise
            return _published(model_name)
    path = Path(checkpoint)
    if path.is_file() and (config := find_config(path)):
        return _ours(model_name, path, config, source, num_classes)
    if path.is_file() and (opened := _of_authors(model_name, path, source, num_classes)):
        return opened
    if num_classes is None:
        num_classes = classes_of(path, tdam.create_model(model_name))
    model = tdam.create_model(model_name, num_classes=num_classes)
    report = tdam.load_checkpoint(model, path)
    if report.initialised:
        raise CheckpointError(
            f"{path} holds a plain network: {len(report.initialised)} parts of {model_name} would be untrained "
            f"({report.initialised[0]} …); train them with wsol-train --model {model_name} --init {path}"
        )
    return _trained(model, model_name, None, source)


def _ours(model_name: str, path: Path, config: dict[str, Any], source: str, num_classes: int | None) -> TrainedNetwork:
    """Open a checkpoint whose configuration says what it holds."""
    if config["model"] != model_name:
        raise CheckpointError(f"{path} holds a {config['model']}, not a {model_name}: pass --model {config['model']}")
    if not config.get("trained"):
        raise CheckpointError(f"{path} holds untrained weights; train them with wsol-train")
    _check_classes(path, config["num_classes"], num_classes)
    # Training methods make maps and so import what this package gives.
    from wsol.methods import load_trained

    model, _ = load_trained(path, model_name)
    names = config.get("class_names")
    opened = _trained(model, model_name, tuple(names) if names else None, source)
    if not hasattr(model, "pretrained_cfg"):
        kept: dict[str, Any] = {key: config[key] for key in ("input_size", "mean", "std") if key in config}
        opened = dataclasses.replace(opened, preprocessing={**opened.preprocessing, **kept})
    return opened


def _check_classes(path: Path, found: int, wanted: int | None) -> None:
    if wanted is not None and found != wanted:
        raise CheckpointError(
            f"{path} was trained for {found} classes, the dataset has {wanted}: "
            "pass a checkpoint trained on this dataset"
        )


def _of_authors(model_name: str, path: Path, source: str, num_classes: int | None) -> TrainedNetwork | None:
    """Open a checkpoint that a training method's reference implementation wrote; None if no such names are in it."""
    # Training methods make maps and so import what this package gives.
    from wsol.methods import METHODS, create_method, load_authors, method_of_authors

    state = read_state_dict(path)
    name = method_of_authors(state)
    if name is None:
        return None
    reference = METHODS[name]
    classes = reference.classes_of_authors(state)
    if classes is None:
        raise CheckpointError(
            f"{path} of {name}'s authors has no classifier, so it cannot classify; nothing was opened"
        )
    _check_classes(path, classes, num_classes)
    network = tdam.create_model(model_name, num_classes=classes, strides=reference.authors_strides)
    method = create_method(name, network, reference.authors_options(state, classes))
    load_authors(method, state, path)
    return _trained(method.deployed, model_name, None, f"{source} of {name}'s authors")


def _published(model_name: str) -> TrainedNetwork:
    """Download the weights that timm or the TDAM authors published."""
    if model_name.split(".")[0] in NEW_CLASSIFIERS:
        raise UserError(
            f"the published weights of {model_name} are its convolutions alone, its classifier would be untrained: "
            f"pass --checkpoint FILE or run `wsol-train --model {model_name} --dataset imagenet --init pretrained`"
        )
    model = tdam.create_model(model_name, pretrained=True)
    names = None
    if model.num_classes == 1000:
        info = timm.data.ImageNetInfo("imagenet-1k")
        names = tuple(info.index_to_description(index) for index in range(1000))
    return _trained(model, model_name, names, "published, trained on ImageNet")


def _trained(model: nn.Module, name: str, class_names: tuple[str, ...] | None, source: str) -> TrainedNetwork:
    return TrainedNetwork(model.eval(), name, class_names, source, preprocessing_of(model))
