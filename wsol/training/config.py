"""Everything that decides a training run, as one flat dataclass: the command line and the recipes fill it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any

import tyro
import yaml

from tdam.errors import UsageError, check_name
from wsol.methods import METHODS

SCHEDULES = ("cosine", "step", "multistep", "poly", "constant")
CROPS = ("resize", "random_resized")
PRECISIONS = ("no", "bf16", "fp16")
# What may differ between a run and its continuation: it changes the speed or the place, not the weights.
OPERATIONAL = frozenset(
    {"data_root", "output", "device", "workers", "cache_gb", "save_every", "log_every", "tensorboard"}
)


def parse_pairs(texts: Sequence[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE`` words, each value as YAML.

    >>> parse_pairs(["steps=3", "attention=top", "pooling=[avg, max]"])
    {'steps': 3, 'attention': 'top', 'pooling': ['avg', 'max']}

    Raises:
        ValueError: If a word has no ``=``.
    """
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"expected KEY=VALUE, got {text!r}")
        pairs[key] = yaml.safe_load(value)
    return pairs


Options = Annotated[
    dict[str, Any],
    tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="KEY=VALUE",
        instance_from_str=parse_pairs,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda value: [f"{key}={item}" for key, item in value.items()],
    ),
]


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of one run. The defaults are plain supervised training; recipes name published settings."""

    model: str
    """Registered name of the network: one of TDAM's or any timm classification CNN."""
    dataset: str
    """Dataset to train on."""
    model_args: Options = field(default_factory=dict)
    """Options of the network, such as steps=3 attention=top."""
    method: str = "cam"
    """Training method, see docs/methods.md."""
    method_args: Options = field(default_factory=dict)
    """Hyper-parameters of the method, such as drop_rate=0.5; the published ones where not given."""
    step_loss_weights: tuple[float, ...] = ()
    """Weight of the loss on every step's logits, first step first; empty: the loss of the last step alone."""
    step_diversity: float = 0.0
    """Weight of the penalty on the likeness of successive steps' class activation maps."""

    epochs: int = 100
    """Passes over the training split."""
    batch_size: int = 64
    """Images per optimiser step, over all processes and accumulated parts."""
    accumulate: int = 1
    """Parts every batch is split into, for memory; the gradient is that of the whole batch."""
    seed: int = 0
    """Decides initial weights, order of images and every random choice."""

    optimizer: str = "sgd"
    """Name in timm.optim; "sgd" is Nesterov momentum."""
    lr: float = 0.01
    """Peak learning rate."""
    momentum: float = 0.9
    """Momentum of the optimisers that have one."""
    weight_decay: float = 1e-4
    """Weight decay; biases, norms, position embeddings and class tokens are exempt unless decay_norms."""
    decay_norms: bool = False
    """Decay those too."""
    classifier_lr_scale: float = 1.0
    """Factor on the learning rate of the classifier, see classifier_modules."""
    classifier_modules: tuple[str, ...] = ()
    """Modules of the network or of the method that count as the classifier, such as layer4 fc: these and no others.
    Empty: the network's own classifier layer and all layers that the method adds."""
    bias_lr_scale: float = 1.0
    """Factor on the learning rate of biases, beside the classifier's."""
    classifier_std: float | None = None
    """Standard deviation of the weights of a classifier that begins anew, its biases 0 (wsolevaluation: 0.01); none:
    the method's own choice, else the network's."""
    schedule: str = "cosine"
    """cosine, step, multistep, poly or constant, advanced at every optimiser step."""
    warmup_epochs: int = 0
    """Epochs of linear warm-up, part of the epochs."""
    warmup_lr: float = 0.0
    """Learning rate at the start of the warm-up."""
    min_lr: float = 0.0
    """Learning rate at the end of a cosine."""
    cooldown_epochs: int = 0
    """Epochs at min_lr after the schedule, beyond the epochs."""
    decay_epochs: float = 30
    """Epochs between the decays of schedule step."""
    decay_milestones: tuple[int, ...] = ()
    """Epochs of the decays of schedule multistep."""
    decay_rate: float = 0.1
    """Factor of every decay; the power of schedule poly."""
    clip_grad: float | None = None
    """Largest norm of the gradient."""
    precision: str = "no"
    """Mixed precision: no, bf16 or fp16."""
    sync_norms: bool = False
    """Batch norm over the images of all processes (GPU only); else each process normalizes over its own share."""
    ema_decay: float | None = None
    """Decay of the exponential moving average of the weights; when given, it is what is validated and saved."""

    input_size: int | None = None
    """Side in pixels of the network's input, for networks that take any; none: the network's own."""
    crop: str = "resize"
    """resize: to a square of resize_size, then a random crop; random_resized: area and aspect at random."""
    resize_size: int | None = None
    """Side in pixels before the random crop; none: the network's input size."""
    pad: int = 0
    """Pixels of reflection padding before the random crop."""
    crop_scale: tuple[float, float] = (0.08, 1.0)
    """Share of the image's area of a random_resized crop."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    color_jitter: float = 0.0
    """Half-width of the factors of brightness, contrast and saturation."""
    label_smoothing: float = 0.0
    """Probability spread evenly over all classes."""
    random_erasing: float = 0.0
    """Probability of erasing a rectangle (timm, mode pixel)."""
    mixup: float = 0.0
    """Alpha of mixup; 0: none."""
    cutmix: float = 0.0
    """Alpha of cutmix as augmentation (see also the method cutmix); 0: none."""
    mix_switch_prob: float = 0.5
    """Probability of cutmix where both are on."""

    init: str | None = None
    """Start from "pretrained" (the network's published weights), "backbone" (for a TDAM network: the weights timm
    publishes for the plain one) or a checkpoint file; its classifier may be of other classes."""
    freeze: tuple[str, ...] = ()
    """Modules that are not trained, such as conv1 bn1 layer1; their norms keep their statistics."""

    select_by: str = "max_box_acc"
    """Validation metric that chooses the best checkpoint; all but top1_cls and top5_cls look at boxes or masks."""
    selection_boxes: str | None = None
    """A second list of boxes of the val split, made without people, as wsolevaluation's localization.txt: select_by may
    then be selection_max_box_acc or selection_max_box_acc_v2, which look at no true box."""
    validate_every: int = 1
    """Epochs between validations; the last epoch is always validated. 0: no validation, last is best."""

    data_root: str | None = None
    """Folder of the dataset; none: the environment variable WSOL_DATA, else ./data."""
    output: str | None = None
    """Folder of the run; none: runs/<dataset>/<model>, the dataset by its own name and not by its path."""
    device: str | None = None
    """Torch device; none: what accelerate finds."""
    workers: int = 4
    """Processes that decode images where they are not kept in memory."""
    cache_gb: float = 1.0
    """Training images are decoded once and kept where they need at most this many gigabytes."""
    save_every: int = 0
    """Optimiser steps between savings of the state, beside the one after every epoch; 0: none."""
    log_every: int = 10
    """Optimiser steps between looks at the loss: progress, TensorBoard and the check for NaN."""
    tensorboard: bool = True
    """Write TensorBoard events where tensorboard is installed."""

    def check(self) -> None:
        """Check every value that can be checked without network and data.

        Raises:
            UsageError: If a value is impossible.
        """
        check_name("method", self.method, METHODS)
        check_name("schedule", self.schedule, SCHEDULES)
        check_name("crop", self.crop, CROPS)
        check_name("precision", self.precision, PRECISIONS)
        for name in ("epochs", "batch_size", "accumulate", "log_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.lr <= 0:
            raise UsageError(f"lr must be above 0, got {self.lr}")
        if not 0 <= self.label_smoothing < 1:
            raise UsageError(f"label_smoothing must lie in [0, 1), got {self.label_smoothing}")
        if (self.mixup or self.cutmix) and self.method == "cutmix":
            raise UsageError("method cutmix mixes images itself: leave mixup and cutmix at 0")

    def as_dict(self) -> dict[str, Any]:
        """Settings as plain data that JSON, YAML and weights-only loading can hold."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> TrainingConfig:
        """Build from plain data.

        Raises:
            UnknownNameError: If a key is no setting; the valid ones come nearest first.
        """
        names = [item.name for item in fields(cls)]
        for key in settings:
            check_name("setting", key, names)
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()
        }
        return cls(**values)

    def differences(self, other: TrainingConfig) -> list[str]:
        """Settings in which two runs differ and that change the weights, as ``name: mine != other's``."""
        mine, theirs = self.as_dict(), other.as_dict()
        return [
            f"{key}: {mine[key]} != {theirs[key]}"
            for key in mine
            if key not in OPERATIONAL and mine[key] != theirs[key]
        ]
