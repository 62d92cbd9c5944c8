"""Does attention localize better on minibirds? Trains every configuration from scratch, alike but for one thing.

python scripts/experiments/attention_on_minibirds.py --rounds 5           # all, seed after seed; finished runs are kept
python scripts/experiments/attention_on_minibirds.py --only plain "tdam t2 m1" --rounds 3
python scripts/experiments/attention_on_minibirds.py --table              # the tables of what is there

Same recipe (wsol/recipes/minibirds.yaml), same data, same budget for all. One row per run and step (and fusion of
steps) goes to docs/data/compare_attention.csv; see `comparison`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comparison import Comparison, parser_of, train_and_print
from configurations import ATTENTION, PLAIN, tdam_settings

from wsol.training import load_recipe

ROOT = Path(__file__).parents[2]
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    **ATTENTION,
    "tdam t2 m1 diversity": {**tdam_settings(), "step_loss_weights": (0.5, 1.0), "step_diversity": 0.5},
}
# The six methods on both networks (cam is the default above). ACoL heads of 1024 channels would dwarf the thin network.
METHOD_ARGS = {"acol": {"width": 96}}
for method in ("has", "cutmix", "adl", "acol", "spg"):
    for name, settings in (("plain", PLAIN), ("tdam t2 m1", tdam_settings())):
        CONFIGURATIONS[f"{name} {method}"] = {
            **settings,
            "method": method,
            "method_args": METHOD_ARGS.get(method, {}),
        }
COMPARISON = Comparison(
    csv=ROOT / "docs" / "data" / "compare_attention.csv",
    runs=ROOT / "runs" / "compare_attention",
    configurations=CONFIGURATIONS,
    common={**load_recipe("minibirds"), "dataset": "minibirds"},
)


def main() -> None:
    train_and_print(COMPARISON, parser_of(__doc__, CONFIGURATIONS).parse_args())


if __name__ == "__main__":
    main()
