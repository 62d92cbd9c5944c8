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

from comparison import (
    PLAIN,
    PLAIN_STAGE_GATE,
    Comparison,
    attention_settings,
    parser_of,
    tdam_settings,
    train_and_print,
)

from wsol.training import load_recipe

ROOT = Path(__file__).parents[2]
EPOCHS = load_recipe("minibirds")["epochs"]
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "se": attention_settings("se"),
    "eca": attention_settings("eca"),
    "cbam": attention_settings("cbam"),
    "tdam t2 m1": tdam_settings(),
    "tdam t2 m2": tdam_settings(distance=2),
    "tdam t2 m1 identity start": tdam_settings(init="identity"),
    "tdam t2 m1 top": tdam_settings(attention="top"),
    "tdam t3 m1": tdam_settings(steps=3),
    "tdam t2 m1 deep supervision": {**tdam_settings(), "step_loss_weights": (0.5, 1.0)},
    "tdam t2 m1 diversity": {**tdam_settings(), "step_loss_weights": (0.5, 1.0), "step_diversity": 0.5},
    "tdam t3 m1 diversity": {
        **tdam_settings(steps=3),
        "step_loss_weights": (0.5, 0.5, 1.0),
        "step_diversity": 0.5,
    },
    "plain stage gate": PLAIN_STAGE_GATE,
    "tdam t2 m1 stage gate": tdam_settings(stage_gate=True),
    "tdam t3 m1 stage gate": tdam_settings(stage_gate=True, steps=3),
    "tdam t2 m1 last stage": tdam_settings(td_blocks={4: "all"}),
    "tdam t2 m1 all stages": tdam_settings(td_blocks={1: "all", 2: "all", 3: "all", 4: "all"}),
    "tdam t2 m1 channel": tdam_settings(order="channel"),
    "tdam t2 m1 spatial": tdam_settings(order="spatial"),
    "plain stride 4": {**PLAIN, "model_args": {"output_stride": 4}},
    "tdam t2 m1 stride 4": tdam_settings(output_stride=4),
    "plain double epochs": {**PLAIN, "epochs": 2 * EPOCHS},
    "tdam t2 m1 double epochs": {**tdam_settings(), "epochs": 2 * EPOCHS},
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
