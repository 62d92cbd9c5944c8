"""Options of an evaluation, as `wsol-eval` takes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tdam.errors import UsageError
from wsol.boxes.thresholds import DEFAULT_RULES, find_rule
from wsol.runtime.trackers import TrackerName

# Options that say how maps are computed from a network; any of them may change digits.
INFERENCE_OPTIONS = ("method", "scope", "precision", "fold_norms", "channels_last", "compile")


# How the help groups the options.
GROUPS = {
    "data": ("dataset", "data_root", "split", "limit", "decode", "on_error"),
    "network": ("model", "model_args", "checkpoint", "logits"),
    "map": ("method", "scope", "score_maps", "val_score_maps"),
    "threshold": ("protocol", "threshold", "val", "val_results", "selection_boxes", "threshold_rules"),
    "speed": ("device", "batch_size", "workers", "precision", "fold_norms", "channels_last", "compile"),
    "output": (
        "output",
        "resume",
        "restart",
        "bootstrap",
        "attention_shift",
        "gallery",
        "pick",
        "coco",
        "log",
        "save_score_maps",
        "score_map_dtype",
        "save_logits",
    ),
}


@dataclass(frozen=True)
class EvaluationOptions:
    """What to evaluate, and how.

    Attributes:
        dataset: Name of a dataset (`wsol-data list` shows them), or the path of your own.
        data_root: Folder of the datasets. Default: $WSOL_DATA or ./data.
        split: Split to evaluate: train, val or test.
        limit: Evaluate only this many images, spread evenly over the split.
        decode: exact decodes images as wsolevaluation does; fast uses OpenCV, and a few pixel values differ by 1.
        on_error: At an image that cannot be read: stop, or count it as a miss and list it.
        model: Registered name of a network, a checkpoint file that names its own, hf-hub:NAME, or
            package.module:function that builds one. Not needed with --score-maps.
        model_args: Arguments of package.module:function, as NAME=VALUE.
        checkpoint: Weights of the network. Default: those that wsol-train wrote, else bundled or published ones.
        logits: Take the predicted classes from this .npz file of --save-logits instead: another network classifies,
            this one (or --score-maps) localizes.
        method: Map method: cam, grad-cam, layer-cam, and others; an unknown name lists them all. Several are evaluated
            in one pass, each into a folder of its own name in --output.
        scope: TDAM networks: which stages run only t steps to give the map of step t: last or all.
        score_maps: Evaluate .npy score maps instead of a network's: a folder, a tar, or a folder of tars.
        val_score_maps: Score maps of the validation split, to choose the threshold on.
        protocol: Scoring conventions: those of wsolevaluation, or of the papers ts-cam, psol, bas, sat or tdam.
        threshold: Fixed threshold as a share of each map's maximum. Default: the protocol's.
        val: Choose a threshold on the validation split, if there is one.
        val_results: Use the thresholds that an earlier run chose on the validation split: its results.json.
        selection_boxes: Also choose thresholds by these boxes of the validation split, made without annotators (in
            wsolevaluation's localization.txt format).
        threshold_rules: Rules that find a threshold for each map from the map alone: otsu, mean+1std,
            percentile90x0.35, area0.25, with any numbers.
        device: auto, cpu, cuda, cuda:1. auto uses a GPU if there is one.
        batch_size: Images per forward pass. Default: 8 on a CPU, 32 on a GPU.
        workers: Processes that read images; 0 reads them in threads.
        precision: fp32, bf16 or fp16. bf16 and fp16 run the network under autocast and may move boxes.
        fold_norms: Fold batch norms into the convolutions before them. Last digits may change.
        channels_last: Store convolution weights with channels last, which is faster.
        compile: Compile the network with torch.compile. This takes about a minute.
        output: Folder for results.json, predictions.csv, curves.csv and report.html.
        resume: Continue the unfinished run in --output.
        restart: Discard the unfinished run in --output and start again.
        bootstrap: Resamples for the 95 % intervals; 0 computes none.
        attention_shift: TDAM networks: also measure how maps move from step to step.
        gallery: Images in the report's gallery, chosen at random from all outcomes.
        pick: Also draw eight images into PICK.png in --output. gained and lost compare the last step with the first.
        coco: Also write predictions and ground truth as COCO JSON to --output.
        log: Log the headline to these experiment trackers, each through its own package: wandb, mlflow, tensorboard.
        save_score_maps: Save the score maps of the split to this folder.
        score_map_dtype: Type of the saved score maps. wsolevaluation reads only float64.
        save_logits: Save the last step's class scores of the split to this .npz file.
    """

    dataset: str
    model: str | None = None
    model_args: tuple[str, ...] = ()
    data_root: Path | None = None
    split: str = "test"
    checkpoint: Path | None = None
    protocol: str = "wsolevaluation"
    score_maps: Path | None = None
    val_score_maps: Path | None = None
    output: Path | None = None
    batch_size: int | None = None
    workers: int = 0
    device: str = "auto"
    precision: str = "fp32"
    fold_norms: bool = False
    channels_last: bool = True
    compile: bool = False
    limit: int | None = None
    threshold: float | None = None
    val: bool = True
    val_results: Path | None = None
    selection_boxes: Path | None = None
    threshold_rules: tuple[str, ...] = DEFAULT_RULES
    attention_shift: bool = True
    method: str | tuple[str, ...] = "cam"
    scope: str = "last"
    decode: Literal["exact", "fast"] = "exact"
    on_error: Literal["stop", "count"] = "stop"
    resume: bool = False
    restart: bool = False
    save_score_maps: Path | None = None
    score_map_dtype: Literal["float16", "float32", "float64"] = "float32"
    logits: Path | None = None
    save_logits: Path | None = None
    coco: bool = False
    log: tuple[TrackerName, ...] = ()
    gallery: int = 60
    pick: Literal["correct", "wrong", "gained", "lost", "random"] | None = None
    bootstrap: int = 1000

    def __post_init__(self) -> None:
        if self.model is None and self.score_maps is None:
            raise UsageError("give --model NAME, or --score-maps DIR for score maps from another program")
        if self.resume and self.output is None:
            raise UsageError("--resume needs the --output DIR of the run to continue")
        if self.resume and self.restart:
            raise UsageError("--resume continues an unfinished run, --restart discards it: give one of them")
        if (self.coco or self.log) and self.output is None:
            raise UsageError(f"--{'coco' if self.coco else 'log'} needs an --output DIR to write to")
        if isinstance(self.method, tuple) and len(set(self.method)) < max(1, len(self.method)):
            raise UsageError("--method needs one name, or several different ones")
        if len(self.methods) > 1 and (self.logits is not None or self.save_logits is not None):
            raise UsageError("--logits and --save-logits go with one --method")
        if len(self.methods) > 1 and (self.model is None or self.output is None):
            raise UsageError("several map methods need --model, and an --output DIR for a folder each")
        if self.compile and (self.model is None or self.methods != ("cam",)):
            raise UsageError("--compile goes with --model and --method cam: it compiles the pass that gives all steps")
        if self.workers < 0 or any(number is not None and number < 1 for number in (self.batch_size, self.limit)):
            raise UsageError("--batch-size and --limit must be at least 1, --workers at least 0")
        if self.gallery < 0 or self.bootstrap < 0:
            raise UsageError("--gallery and --bootstrap must be at least 0")
        if self.save_logits is not None and (self.resume or self.model is None):
            raise UsageError("--save-logits goes with --model and without --resume: it writes all images of one run")
        for rule in self.threshold_rules:
            find_rule(rule)
        if self.selection_boxes is not None and (not self.val or self.split != "test" or self.val_results is not None):
            raise UsageError(
                "--selection-boxes are boxes of the val split, which is judged to choose thresholds for test: "
                "leave out --no-val, --val-results and --split"
            )
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise UsageError(f"--threshold must lie in [0, 1), got {self.threshold}")

    @property
    def methods(self) -> tuple[str, ...]:
        """All map methods."""
        return (self.method,) if isinstance(self.method, str) else self.method

    @property
    def one_method(self) -> str:
        """The map method, of options of a single one.

        Raises:
            UsageError: If there are several.
        """
        if len(self.methods) != 1:
            raise UsageError(f"one map method is judged at a time here, not {', '.join(self.methods)}")
        return self.methods[0]

    def each_method(self) -> list[EvaluationOptions]:
        """Options of every single method: its files go to, and earlier ones come from, folders of its name."""
        if len(self.methods) == 1:
            return [replace(self, method=self.one_method)]
        folders = ("output", "save_score_maps", "val_results")
        return [
            replace(self, method=name, **{key: getattr(self, key) and getattr(self, key) / name for key in folders})
            for name in self.methods
        ]
