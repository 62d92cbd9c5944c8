"""Options of an evaluation, as `wsol-eval` takes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tdam.errors import UsageError
from wsol.boxes.thresholds import DEFAULT_RULES, find_rule

# Options that say how maps are computed from a network; any of them may change digits.
INFERENCE_OPTIONS = ("method", "scope", "precision", "fold_norms", "channels_last", "compile")


@dataclass(frozen=True)
class EvaluationOptions:
    """What to evaluate, and how.

    Attributes:
        dataset: Name of a dataset, or the path of one's own.
        model: Registered name of a network, a checkpoint file that says its own, "hf-hub:…", or
            package.module:function that makes one; not needed with `score_maps`.
        model_args: Arguments of package.module:function, as NAME=VALUE.
        data_root: Folder of the datasets; default: $WSOL_DATA, else ./data.
        split: Split to judge: train, val or test.
        checkpoint: Weights; default: what wsol-train wrote, else bundled or published ones.
        protocol: Conventions to score by, see docs/protocols.md.
        score_maps: Folder of .npy score maps of the split instead of a network.
        val_score_maps: The same of the validation split, to choose the threshold on.
        output: Folder for results.json, predictions.csv, curves.csv and the report.
        batch_size: Images per forward pass.
        workers: Processes that read images.
        device: auto, cpu, cuda, cuda:1, …; auto takes a GPU where there is one.
        precision: fp32, bf16 or fp16: type of autocast.
        fold_norms: Fold batch norms into the convolutions before them; docs/inference.md says what it changes.
        channels_last: Lay the convolutions' weights out with channels last.
        compile: Compile the network with torch.compile at its first batch, which takes about a minute.
        limit: Judge only so many images, spread evenly over the split.
        threshold: The fixed score-map threshold; default: the protocol's.
        val: Choose a threshold on the validation split where it exists.
        val_results: Take the thresholds chosen on val from this earlier results.json.
        selection_boxes: A second list of boxes of the validation split, made without people, as a localization.txt of
            wsolevaluation: thresholds are also chosen by it, see docs/which-threshold.md.
        threshold_rules: Rules by which every map also finds its own threshold, see docs/which-threshold.md.
        attention_shift: Also measure how maps move from step to step, see docs/attention-shift.md.
        method: Map method: cam, grad-cam, layer-cam, …; several are judged in one pass, each into a folder of its name
            in `output`.
        scope: Stages that take a step's count: last or all.
        decode: exact (as wsolevaluation, through PIL) or fast (OpenCV; docs/datasets.md says how much it differs).
        on_error: stop at an unreadable image, or count it as a miss and list it.
        resume: Continue an unfinished run in `output`.
        restart: Discard what an unfinished run left in `output`.
        save_score_maps: Write the score maps of the split to this folder.
        logits: Class scores of the split's images from elsewhere, an .npz file of --save-logits: the class is then that
            network's, the map this one's or that of `score_maps`.
        save_logits: Write the last step's class scores of the split to this .npz file.
        coco: Also write predictions and ground truth as COCO JSON to `output`.
        gallery: Images in the report's gallery, chosen at random with outcomes balanced.
        pick: Also draw eight images of this kind, step by step, into <kind>.png of the output folder: right or wrong by
            the last step, gained or lost by it against the first, or any.
        bootstrap: Resamples for the 95 % intervals; 0 leaves intervals out.
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
    batch_size: int = 32
    workers: int = 0
    device: str = "auto"
    precision: str = "fp32"
    fold_norms: bool = False
    channels_last: bool = False
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
    logits: Path | None = None
    save_logits: Path | None = None
    coco: bool = False
    gallery: int = 60
    pick: Literal["correct", "wrong", "gained", "lost", "random"] | None = None
    bootstrap: int = 1000

    def __post_init__(self) -> None:
        if self.model is None and self.score_maps is None:
            raise UsageError("give --model NAME, or --score-maps DIR to score maps from elsewhere")
        if self.resume and self.output is None:
            raise UsageError("--resume needs the --output DIR of the run to continue")
        if self.resume and self.restart:
            raise UsageError("--resume continues an unfinished run, --restart discards it: give one of them")
        if self.coco and self.output is None:
            raise UsageError("--coco needs an --output DIR to write to")
        if isinstance(self.method, tuple) and len(set(self.method)) < max(1, len(self.method)):
            raise UsageError("--method needs one name, or several different ones")
        if len(self.methods) > 1 and (self.logits is not None or self.save_logits is not None):
            raise UsageError("--logits and --save-logits go with one --method")
        if len(self.methods) > 1 and (self.model is None or self.output is None):
            raise UsageError("several map methods need --model, and an --output DIR that takes a folder for each")
        if self.compile and (self.model is None or self.methods != ("cam",)):
            raise UsageError("--compile goes with --model and --method cam: it compiles the pass that gives all steps")
        if self.batch_size < 1 or self.workers < 0 or (self.limit is not None and self.limit < 1):
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
