"""What each convention of the protocols is worth to a box that has not seen the image.

Prints GT-known Loc at IoU 0.5 of the best centre box and of the full image over the real ground-truth
lists of CUB-200-2011 and ImageNet, first by wsolevaluation, then with one convention changed at a time,
then by every named protocol. `docs/protocols.md` shows the result. Needs only the lists:

    python scripts/table_protocols.py [--metadata DIR]     (default: $WSOL_SHARED/metadata)
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from eval.analysis.baselines import baselines
from eval.protocols import CROP_256_224, PROTOCOLS, Protocol, get_protocol
from wsol.data import GroundTruth

DATASETS = ("CUB", "ILSVRC")


def variants() -> dict[str, Protocol]:
    base = get_protocol("wsolevaluation")
    crop = replace(base, resize_ratio=CROP_256_224, clip="edge", truncate=False)
    return {
        "wsolevaluation": base,
        "IoU above 0.5 instead of at least 0.5": replace(base, gt_known_strict=True),
        "continuous IoU, no +1": replace(base, convention=replace(base.convention, closed_pixels=False)),
        "box end not limited to the last pixel": replace(base, convention=replace(base.convention, clamp_end=False)),
        "ground truth not truncated": replace(base, truncate=False),
        "ground truth divided first": replace(base, divide_first=True),
        "mean over classes": replace(base, macro=True),
        "resize to 256, crop 224; ground truth clipped to the edge, not truncated": crop,
        "the same, clipped to the last pixel and truncated": replace(crop, clip="last_pixel", truncate=True),
        "crop, clipped to the edge, mean over classes": replace(crop, macro=True),
        **{f"protocol `{name}`": protocol for name, protocol in PROTOCOLS.items()},
    }


def table(metadata: Path) -> list[str]:
    truths = [GroundTruth.from_lists(metadata / dataset / "test") for dataset in DATASETS]
    lines = [
        "| convention | " + " | ".join(f"{name} centre box | difference | full image" for name in DATASETS) + " |",
        "|---|" + "---:|" * (3 * len(DATASETS)),
    ]
    reference: list[float] = []
    for name, protocol in variants().items():
        figures = [baselines(truth, protocol) for truth in truths]
        centre = [figure["centre_box"].percent for figure in figures]
        reference = reference or centre
        cells = [
            f"{percent:.2f} | {percent - base:+.2f} | {figure['full_image'].percent:.2f}"
            for percent, base, figure in zip(centre, reference, figures, strict=True)
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = os.environ.get("WSOL_SHARED", str(Path(__file__).parents[1] / ".." / "shared"))
    parser.add_argument("--metadata", type=Path, default=Path(shared) / "metadata", help="folder of the lists")
    arguments = parser.parse_args()
    print("\n".join(table(arguments.metadata)))


if __name__ == "__main__":
    main()
