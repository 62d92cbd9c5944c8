"""The command ``wsol-train``: joins the training engine with the metrics that watch it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import timm
import tyro
from accelerate import PartialState
from torch.utils.data import DataLoader, Subset

from eval.metrics import LocalizationAccuracy, MaxBoxAcc, MaxBoxAccV2
from eval.protocols import get_protocol
from eval.sweep import best_iou_per_cut
from tdam.errors import UserError, check_name
from wsol.data import load_dataset
from wsol.data.transforms import evaluation_transform
from wsol.methods import Method
from wsol.scoremap import score_maps
from wsol.training import Trainer, TrainingConfig, default_recipe, list_recipes, load_recipe

DESCRIPTION = """Train a network for localization from image labels alone.

Writes best.safetensors, last.safetensors, state.pt and log.csv into runs/<dataset>/<model>.
With --recipe NAME published settings (options beside it win), by default the recipe named as the dataset;
with --resume an interrupted run continues."""
FIGURES = ("top1_cls", "top5_cls", "gt_known_loc", "top1_loc", "top5_loc", "max_box_acc", "max_box_acc_v2")


class Validation:
    """Figures of a method's last step on the validation split; every process judges its share.

    Protocol wsolevaluation; the localization figures are at the threshold that is best on this split.

    Args:
        dataset: Name of the dataset.
        root: Its folder, as for `wsol.data.load_dataset`.
        batch_size: Images per forward pass.
        workers: Processes that decode images; 0 decodes in this one.
    """

    def __init__(self, dataset: str, root: str | None = None, batch_size: int = 64, workers: int = 0) -> None:
        self.dataset = load_dataset(dataset, split="val", root=root)
        self.protocol = get_protocol("wsolevaluation")
        self.batch_size = batch_size
        self.workers = workers

    def __call__(self, method: Method) -> dict[str, float]:
        """Judge `method`, which is in eval mode; returns percentages."""
        device = next(method.parameters()).device
        preprocessing = timm.data.resolve_model_data_config(method.network)
        height, width = preprocessing["input_size"][1:]
        self.dataset.transform = evaluation_transform((height, width), preprocessing["mean"], preprocessing["std"])
        truth = self.dataset.ground_truth
        state = PartialState()
        share = Subset(self.dataset, range(state.process_index, len(truth), state.num_processes))
        accuracy, box_acc, box_acc_v2 = LocalizationAccuracy(), MaxBoxAcc(), MaxBoxAccV2()
        for metric in (accuracy, box_acc, box_acc_v2):
            metric.to(device)
        for images, labels, indices in DataLoader(share, batch_size=self.batch_size, num_workers=self.workers):
            cams = method.class_activation_maps(images.to(device), labels.to(device))
            boxes = [
                self.protocol.map_boxes(truth.boxes[index], truth.sizes[index], (width, height))
                for index in indices.tolist()
            ]
            sweep = best_iou_per_cut(score_maps(cams.maps[-1], (height, width)), boxes)
            accuracy.update_from_sweep(sweep, cams.logits[-1], labels)
            box_acc.update_from_sweep(sweep)
            box_acc_v2.update_from_sweep(sweep)
        figures = accuracy.compute()
        figures["max_box_acc"] = box_acc.compute()["max_box_acc"][0.5]
        figures["max_box_acc_v2"] = box_acc_v2.compute()["mean"]
        return {name: figures[name] for name in FIGURES}


def parse(arguments: Sequence[str]) -> tuple[TrainingConfig, bool]:
    """Settings from the command line over those of a recipe, and whether to resume.

    Without ``--recipe`` the recipe that bears the dataset's name is used, if there is one; ``none`` uses none.

    Raises:
        UserError: If the recipe or a setting is not valid.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--recipe")
    first.add_argument("--resume", action="store_true")
    first.add_argument("--dataset")
    known, remaining = first.parse_known_args(arguments)
    recipe = known.recipe or default_recipe(known.dataset or "") or "none"
    settings = {} if recipe == "none" else load_recipe(recipe)
    dataset = {"dataset": known.dataset} if known.dataset else {}
    config = tyro.cli(
        TrainingConfig,
        args=remaining,
        default=TrainingConfig.from_dict({"model": tyro.MISSING, "dataset": tyro.MISSING, **settings, **dataset}),
        prog="wsol-train",
        description=f"{DESCRIPTION}\n\nRecipes: {', '.join(list_recipes())}; the path of a YAML file; none.",
    )
    config.check()
    check_name("figure to select by", config.select_by, FIGURES)
    if known.recipe is None and recipe != "none":
        print(f"recipe {recipe}; --recipe none starts from plain defaults")
    return config, known.resume


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    try:
        config, resume = parse(sys.argv[1:] if arguments is None else arguments)
        trainer = Trainer(config, validate=Validation(config.dataset, config.data_root))
        if resume:
            trainer.resume()
        trainer.fit()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
