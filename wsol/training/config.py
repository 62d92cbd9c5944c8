"""Everything that decides a training run, as one flat dataclass: the command line and the recipes fill it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import tyro
import yaml

from tdam.errors import UsageError, check_name
from wsol.command_line.settings import typed_settings
from wsol.runtime.trackers import TrackerName

SCHEDULES = ("cosine", "step", "multistep", "poly", "constant")
CROPS = ("resize", "random_resized")
PRECISIONS = ("no", "bf16", "fp16")
# What may differ between a run and its continuation: it changes the speed or the place, not the weights.
OPERATIONAL = frozenset(
    {"data_root", "output", "device", "workers", "cache_gb", "save_every", "log_every", "tensorboard", "log"}
)


# How the help of wsol-train groups the settings.
GROUPS = {
    "data": ("dataset", "data_root"),
    "network": ("model", "model_args", "init", "freeze", "input_size"),
    "method": ("method", "method_args", "step_loss_weights", "step_diversity"),
    "schedule": (
        "epochs",
        "batch_size",
        "accumulate",
        "lr",
        "schedule",
        "warmup_epochs",
        "warmup_lr",
        "min_lr",
        "cooldown_epochs",
        "decay_epochs",
        "decay_milestones",
        "decay_rate",
    ),
    "optimizer": (
        "optimizer",
        "momentum",
        "weight_decay",
        "decay_norms",
        "classifier_lr_scale",
        "classifier_modules",
        "classifier_std",
        "bias_lr_scale",
        "clip_grad",
        "ema_decay",
    ),
    "augmentation": (
        "crop",
        "resize_size",
        "pad",
        "crop_scale",
        "flip",
        "color_jitter",
        "label_smoothing",
        "random_erasing",
        "mixup",
        "cutmix",
        "mix_switch_prob",
    ),
    "validation": ("select_by", "selection_boxes", "validate_every"),
    "speed": ("device", "precision", "sync_norms", "workers", "cache_gb"),
    "output": ("output", "seed", "save_every", "log_every", "log", "tensorboard"),
}


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
    """Network: a registered name of TDAM's or timm's, torchvision/NAME, hf-hub:NAME, a folder of save_pretrained, or
    package.module:function. A classifier of other classes is replaced."""
    dataset: str
    """Name of a dataset, or the path of your own."""
    model_args: Options = field(default_factory=dict)
    """Options of the network or arguments of the function, such as steps=3 attention=top."""
    method: str = "cam"
    """Training method: cam, has, cutmix, adl, acol, spg, tap, bas, c2am, ts-cam or scm."""
    method_args: Options = field(default_factory=dict)
    """Hyper-parameters of the method, such as drop_rate=0.5. Default: the published ones."""
    step_loss_weights: tuple[float, ...] = ()
    """TDAM networks: weights of the loss of each step, first step first. Default: only the last step's loss."""
    step_diversity: float = 0.0
    """TDAM networks: weight of a penalty on similar maps in successive steps."""

    epochs: int = 100
    """Passes over the training split."""
    batch_size: int = 64
    """Images per optimizer step, over all processes."""
    accumulate: int = 1
    """Split each batch into this many parts to save memory. The gradient is that of the whole batch."""
    seed: int = 0
    """Seed of the initial weights, the order of images and all augmentation."""

    optimizer: str = "sgd"
    """Name of an optimizer of timm.optim; sgd is SGD with Nesterov momentum."""
    lr: float = 0.01
    """Peak learning rate."""
    momentum: float = 0.9
    """Momentum of optimizers that have one."""
    weight_decay: float = 1e-4
    """Weight decay. Biases, norms, position embeddings and class tokens have none, unless decay_norms."""
    decay_norms: bool = False
    """Apply weight decay to those, too."""
    classifier_lr_scale: float = 1.0
    """Factor on the learning rate of the classifier."""
    classifier_modules: tuple[str, ...] = ()
    """Modules that count as the classifier, such as layer4 fc. Default: the network's classifier layer and all
    layers that the method adds."""
    bias_lr_scale: float = 1.0
    """Factor on the learning rate of biases, on top of the classifier's."""
    classifier_std: float | None = None
    """Standard deviation of the weights of a new classifier (wsolevaluation: 0.01). Default: the method's, else the
    network's."""
    schedule: str = "cosine"
    """Learning rate schedule, updated at every optimizer step: cosine, step, multistep, poly or constant."""
    warmup_epochs: int = 0
    """Epochs of linear warm-up; they count as epochs."""
    warmup_lr: float = 0.0
    """Learning rate at the start of the warm-up."""
    min_lr: float = 0.0
    """Learning rate at the end of the cosine schedule."""
    cooldown_epochs: int = 0
    """Extra epochs at min_lr after the schedule."""
    decay_epochs: float = 30
    """Epochs between decays of the step schedule."""
    decay_milestones: tuple[int, ...] = ()
    """Epochs of the decays of the multistep schedule."""
    decay_rate: float = 0.1
    """Factor of each decay; for poly, its power."""
    clip_grad: float | None = None
    """Clip gradients to this norm."""
    precision: str = "no"
    """Mixed precision: no, bf16 or fp16."""
    sync_norms: bool = False
    """Compute batch norm over the images of all processes (GPUs only). By default each process uses its own images."""
    ema_decay: float | None = None
    """Decay of an exponential moving average of the weights. If given, the average is validated and saved."""

    input_size: int | None = None
    """Side of the network's input in pixels. Default: the network's own."""
    crop: str = "resize"
    """resize: scale to a square of resize_size, then crop at random. random_resized: crop a region of random area
    and aspect ratio."""
    resize_size: int | None = None
    """Side in pixels before the random crop. Default: the input size."""
    pad: int = 0
    """Pixels of reflection padding before the random crop."""
    crop_scale: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest area of a random_resized crop, as shares of the image."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    color_jitter: float = 0.0
    """Strength of the jitter of brightness, contrast and saturation."""
    label_smoothing: float = 0.0
    """Label smoothing."""
    random_erasing: float = 0.0
    """Probability of erasing a rectangle."""
    mixup: float = 0.0
    """Alpha of mixup; 0 turns it off."""
    cutmix: float = 0.0
    """Alpha of cutmix as an augmentation; 0 turns it off. The training method cutmix is another thing."""
    mix_switch_prob: float = 0.5
    """Probability of cutmix where mixup and cutmix are both on."""

    init: str | None = None
    """Initial weights: pretrained (the network's published ones), backbone (for a TDAM network: those of the plain
    network) or a checkpoint file, also one of other classes. Default: random."""
    freeze: tuple[str, ...] = ()
    """Modules that are not trained, such as conv1 bn1 layer1. Their norms keep their statistics."""

    select_by: str = "max_box_acc"
    """Validation metric that selects the best epoch. All but top1_cls and top5_cls use boxes or masks."""
    selection_boxes: str | None = None
    """Boxes of the validation split made without annotators, in wsolevaluation's localization.txt format. They allow
    select_by selection_max_box_acc or selection_max_box_acc_v2, which use no annotated box."""
    validate_every: int = 1
    """Epochs between validations. 0: none, and the last epoch counts as the best."""

    data_root: str | None = None
    """Folder of the datasets. Default: $WSOL_DATA or ./data."""
    output: str | None = None
    """Folder of the run. Default: runs/DATASET/MODEL."""
    device: str | None = None
    """Device such as cpu or cuda:0. Default: a GPU if there is one."""
    workers: int = 4
    """Processes that decode images, if those do not fit in memory."""
    cache_gb: float = 1.0
    """Keep decoded training images in memory if they need at most this many gigabytes."""
    save_every: int = 0
    """Also save the state every so many optimizer steps; 0: only after each epoch."""
    log_every: int = 10
    """Optimizer steps between looks at the loss, for the progress bar, TensorBoard and the check for NaN."""
    log: tuple[TrackerName, ...] = ()
    """Also log to these experiment trackers, each through its own package: wandb, mlflow, tensorboard."""
    tensorboard: bool = True
    """Write TensorBoard events, if tensorboard is installed."""

    def check(self) -> None:
        """Check every value that can be checked without network and data.

        Raises:
            UsageError: If a value is impossible.
        """
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
        # Last, because it waits for torch.
        from wsol.methods import METHODS

        check_name("method", self.method, METHODS)

    def as_dict(self) -> dict[str, Any]:
        """Settings as plain data that JSON, YAML and weights-only loading can hold."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> TrainingConfig:
        """Build from plain data.

        Raises:
            UnknownNameError: If a key is no setting; the valid ones come nearest first.
            UserError: If a value is of the wrong type.
        """
        return cls(**typed_settings(settings, cls, "the settings"))

    def differences(self, other: TrainingConfig) -> list[str]:
        """Settings in which two runs differ and that change the weights, as ``name: mine != other's``."""
        mine, theirs = self.as_dict(), other.as_dict()
        return [
            f"{key}: {mine[key]} != {theirs[key]}"
            for key in mine
            if key not in OPERATIONAL and mine[key] != theirs[key]
        ]
