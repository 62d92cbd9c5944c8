"""Networks with ImageNet weights on photographs: network x map method x protocol, against CAM and a centred box.

python scripts/experiments/pretrained_on_photographs.py --photographs ../shared/real           # finished rows are kept
python scripts/experiments/pretrained_on_photographs.py --photographs ../shared/real --table

EfficientNet-Lite0, 1 and 2 (packages of the Python index, see scripts/convert_efficientnet_lite0.py). On `imagenet650`,
ILSVRC validation photographs, the networks are used as they are; on `imagenet10` and `pets3` with a linear probe (see
photographs.py). On `imagenet650` every map method of a CNN has a row; the costly ones are judged on a fixed part of the
images: BagCAMs and Smooth Grad-CAM++ on every 5th, Score-CAM, which runs the network 1,281 times for an image, on every
50th. Its smoothed and integrated forms, 35 and 10 times as costly, have no row. One row per dataset, network, method
and protocol goes to docs/data/photographs_pretrained.csv.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from comparison import markdown
from kept_features import CHANNEL_MEAN, judge_features
from photographs import WSOLEVALUATION, Photographs, hits_and_sizes, transformed

from eval.analysis.curves import count_split
from eval.analysis.figures import row_figures
from eval.analysis.intervals import poisson_counts
from eval.judging.split import JudgedSplit, judge_split
from eval.judging.thresholds import Thresholds
from eval.maps import NetworkMaps
from eval.protocols import PROTOCOLS, Protocol, get_protocol
from tdam.files import replacing
from wsol.cam import class_activation_maps
from wsol.data import LocalizationDataset
from wsol.opening import TrainedNetwork, open_trained

ROOT = Path(__file__).parents[2]
CSV = ROOT / "docs" / "data" / "photographs_pretrained.csv"
NETWORKS = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")
DATASETS = ("imagenet650", "imagenet10", "pets3")
METHODS = ("cam", CHANNEL_MEAN, "grad-cam++", "layer-cam")
# After global pooling and one linear layer Grad-CAM is CAM up to its ReLU.
MORE_METHODS = ("grad-cam", "xgrad-cam", "nwc", "bagcams", "smooth-grad-cam++", "score-cam")
# Made from images: other layers, or other images, than the last maps.
OF_IMAGES = ("bagcams", "smooth-grad-cam++", "score-cam")
EVERY = {"bagcams": 5, "smooth-grad-cam++": 5, "score-cam": 50}
REPLICATES = 1000
BATCH = 8  # images whose memory is measured together
KEYS = ("dataset", "network", "method", "protocol")


@dataclass(frozen=True)
class Cell:
    """One row of the table."""

    dataset: str
    network: str
    method: str = "cam"
    protocol: str = WSOLEVALUATION

    @property
    def name(self) -> str:
        """For file names."""
        return "-".join((self.dataset, self.network, self.method, self.protocol)).replace(" ", "_")


def cells() -> list[Cell]:
    """All rows, in the order they are done."""
    every_method = [Cell("imagenet650", network, method) for network in NETWORKS for method in MORE_METHODS]
    return [
        *(Cell(dataset, network, method) for dataset in DATASETS for network in NETWORKS for method in METHODS),
        # The cheap ones first.
        *sorted(every_method, key=lambda cell: (cell.method == "score-cam", cell.network, cell.method in OF_IMAGES)),
        *(
            Cell(dataset, NETWORKS[0], protocol=protocol)
            for dataset in DATASETS
            for protocol in PROTOCOLS
            if protocol != WSOLEVALUATION
        ),
    ]


def judge(photographs: Photographs, cell: Cell) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Figures of one row, and the hits of every image at every distinct threshold."""
    protocol = get_protocol(cell.protocol)
    thresholds = Thresholds(protocol.threshold_for("imagenet"))
    if cell.dataset != "imagenet650":  # which has one split
        val, _ = pass_over(photographs, cell, "val", thresholds, protocol)
        thresholds = Thresholds(
            thresholds.fixed, {row: curves.best_threshold for row, curves in count_split(val).curves.items()}
        )
    judged, seconds = pass_over(photographs, cell, "test", thresholds, protocol)
    network = photographs.network(cell.dataset, cell.network)
    counts = count_split(judged)
    figures = row_figures(judged, counts, "1")
    hits, sizes = hits_and_sizes(judged, network.input_size)
    located = figures["gt_known_loc"]
    named = cell.method != CHANNEL_MEAN
    row = {
        **{key: getattr(cell, key) for key in KEYS},
        "images": len(judged.ground_truth),
        "top1_cls": figures["top1_cls"] if named else None,
        "gt_known_fixed": located["fixed"],
        "gt_known_val": located["val"],
        "gt_known_two_fold": 100.0 * two_fold(hits["largest@0.5"]).mean(),
        "gt_known_oracle": located["oracle"],
        "threshold": counts.curves["1"].best_threshold,
        "top1_loc_oracle": figures["top1_loc"]["oracle"] if named else None,
        "max_box_acc": figures["max_box_acc"],
        "max_box_acc_v2": figures["max_box_acc_v2"],
        "pxap": figures["pxap"],
        "size_balanced": sizes["size_balanced"]["oracle"],
        "centre_fails_share": sizes["centre_box_fails"]["share"],
        "centre_fails_acc": sizes["centre_box_fails"]["oracle"],
        **{f"{bucket['size']}": bucket["oracle"] for bucket in sizes["by_size"]},
        **{f"threshold {bucket['size']}": bucket["threshold"] for bucket in sizes["by_size"]},
        "cpu_seconds_per_image": seconds,
    }
    return row, hits


def pass_over(
    photographs: Photographs, cell: Cell, split: str, thresholds: Thresholds, protocol: Protocol
) -> tuple[JudgedSplit, float]:
    """Judge every image of a split; also the CPU seconds per image, those of the network among them."""
    network = photographs.network(cell.dataset, cell.network)
    dataset = transformed(photographs.open(cell.dataset, split), network, protocol)
    if cell.method in OF_IMAGES:
        return pass_over_images(photographs, cell, dataset, network, protocol, thresholds)
    geometry = "cropped" if protocol.geometry(network.input_size).get("crop") else "whole"
    path = photographs.work / "features" / f"{cell.dataset}-{cell.network}-{split}-{geometry}.npz"
    if not path.exists():
        write_features(network.model, dataset, path)
    found = np.load(path)
    began = time.process_time()
    folder = photographs.work / "records" / cell.name / split
    judged = judge_features(found["features"], network, dataset, cell.method, protocol, thresholds, folder)
    return judged, float(found["seconds"]) + (time.process_time() - began) / len(judged.ground_truth)


def pass_over_images(
    photographs: Photographs,
    cell: Cell,
    dataset: LocalizationDataset,
    network: TrainedNetwork,
    protocol: Protocol,
    thresholds: Thresholds,
) -> tuple[JudgedSplit, float]:
    """The same for a method that is not made of the last maps."""
    if cell.method in EVERY:
        dataset = dataset.subset(list(range(0, len(dataset), EVERY[cell.method])))
    source = NetworkMaps(
        network, dataset, batch_size=BATCH, method=cell.method, map_interpolation=protocol.map_interpolation
    )
    began = time.process_time()
    judged = judge_split(source, dataset.ground_truth, protocol, thresholds, photographs.work / "records" / cell.name)
    return judged, (time.process_time() - began) / len(dataset)


def megabytes(photographs: Photographs, cell: Cell) -> float:
    """Memory in MB per image that the maps take beside the network, in a process of its own."""
    checkpoint = photographs.work / f"{cell.network}.safetensors"
    method = "activation" if cell.method == CHANNEL_MEAN else cell.method
    # Only a new process has a peak of its own.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(peak_of_maps, (cell.network, checkpoint, method, 1 if cell.method == "score-cam" else BATCH))


def peak_of_maps(name: str, checkpoint: Path, method: str, batch: int) -> float:
    """Growth of this process's peak in MB per image while it makes the maps of a batch."""
    torch.set_num_threads(1)
    network = open_trained(name, checkpoint=checkpoint)
    images = torch.randn(batch, 3, *network.input_size)
    class_activation_maps(network.model, images[:1, :, :64, :64], method="cam")
    before = peak()
    class_activation_maps(network.model, images, torch.zeros(batch, dtype=torch.long), method=method)
    return (peak() - before) / batch


def peak() -> float:
    """Peak of this process's memory in MB; that of `getrusage` would be its parent's, if larger (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def write_features(model: Any, dataset: LocalizationDataset, path: Path) -> None:
    """Keep the maps under global pooling (N, D, h, w) of every image, from which all methods and protocols start."""
    loader = torch.utils.data.DataLoader(dataset, batch_size=32)
    began = time.process_time()
    with torch.no_grad():
        maps = torch.cat([model.forward_features(images) for images, _, _ in loader])
    seconds = (time.process_time() - began) / len(maps)
    with replacing(path, sync=False) as part, part.open("wb") as file:
        np.savez(file, features=maps.numpy(), seconds=seconds)


def two_fold(hits: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Hits ``(N,)`` of ``(N, n)`` at the threshold that is best on the other half: even and odd images in turn."""
    found = np.zeros(len(hits), dtype=bool)
    for half in (0, 1):
        found[half::2] = hits[half::2, hits[1 - half :: 2].sum(axis=0).argmax()]
    return found


def paired(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> str:
    """Difference of the highest accuracies, first minus second, with its 95 % paired bootstrap interval.

    Each side's threshold, or box, is chosen anew in every resample, as it is chosen on the whole split.
    """
    weights = poisson_counts(np.arange(len(first)), REPLICATES)
    totals = weights.sum(axis=1)
    best = [100.0 * (weights @ hits).max(axis=1) / totals for hits in (first, second)]
    low, high = np.percentile(best[0] - best[1], [2.5, 97.5])
    difference = 100.0 * (first.mean(axis=0).max() - second.mean(axis=0).max())
    return f"{difference:+.1f} [{low:+.1f}, {high:+.1f}]"


def finished() -> pd.DataFrame:
    """Rows that are done."""
    return pd.read_csv(CSV) if CSV.exists() else pd.DataFrame({key: [] for key in KEYS})


def row_of(rows: pd.DataFrame, cell: Cell) -> dict[str, Any] | None:
    """The row of a cell, or None where it is not done."""
    chosen = rows
    for key in KEYS:
        chosen = chosen[chosen[key] == getattr(cell, key)]
    return None if chosen.empty else chosen.iloc[0].to_dict()


def do(photographs: Photographs, cell: Cell) -> None:
    """Judge a row and keep it."""
    row, hits = judge(photographs, cell)
    base = Cell(cell.dataset, cell.network, protocol=cell.protocol)
    if base != cell and not hits_file(photographs, base).exists():
        keep_hits(photographs, base, judge(photographs, base)[1])
    cam = dict(np.load(hits_file(photographs, base))) if base != cell else hits
    cam = {key: of_images[:: EVERY.get(cell.method, 1)] for key, of_images in cam.items()}
    if cell.dataset == "imagenet650" and cell.protocol == WSOLEVALUATION:
        row["megabytes_per_image"] = megabytes(photographs, cell)
    row["against_cam"] = paired(hits["largest@0.5"], cam["largest@0.5"]) if cell.method != "cam" else "–"
    row["against_centre"] = paired(hits["largest@0.5"], hits["centre@0.5"])
    keep_hits(photographs, cell, hits)
    write(pd.concat([*([finished()] if CSV.exists() else []), pd.DataFrame([row])], ignore_index=True))
    print(f"{cell.name}: {row['max_box_acc']:.2f}, against the centred box {row['against_centre']}", flush=True)


def write(rows: pd.DataFrame) -> None:
    """Replace the CSV."""
    with replacing(CSV) as part:
        rows.to_csv(part, index=False, float_format="%.6g")


def add_memory(photographs: Photographs) -> None:
    """Measure the memory of rows that were judged before it was measured."""
    for cell in cells():
        rows = finished()
        row = row_of(rows, cell)
        if row is None or cell.dataset != "imagenet650" or cell.protocol != WSOLEVALUATION:
            continue
        if np.isnan(row.get("megabytes_per_image", np.nan)):
            photographs.network(cell.dataset, cell.network)
            same = np.logical_and.reduce([rows[key] == getattr(cell, key) for key in KEYS])
            rows.loc[same, "megabytes_per_image"] = megabytes(photographs, cell)
            write(rows)


def keep_hits(photographs: Photographs, cell: Cell, hits: dict[str, npt.NDArray[Any]]) -> None:
    """Write the hits of a row."""
    path = hits_file(photographs, cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **hits)


def hits_file(photographs: Photographs, cell: Cell) -> Path:
    """Where the hits of a row lie."""
    return photographs.work / "hits" / f"{cell.name}.npz"


COLUMNS = {
    "top1_cls": "Top-1",
    "gt_known_fixed": "GT-known fixed",
    "gt_known_val": "val",
    "gt_known_two_fold": "two-fold",
    "gt_known_oracle": "oracle",
    "threshold": "at",
    "max_box_acc_v2": "V2",
    "pxap": "PxAP",
    "size_balanced": "size-balanced",
    "centre_fails_acc": "centre fails",
    "against_cam": "against CAM",
    "against_centre": "against centre box",
    "cpu_seconds_per_image": "s/image",
    "megabytes_per_image": "MB/image",
}


def table(rows: pd.DataFrame) -> str:
    """Everything that is done, as Markdown."""
    lines = []
    for cell in sorted(cells(), key=lambda cell: (DATASETS.index(cell.dataset), cell.network, cell.protocol)):
        if row := row_of(rows, cell):
            lines.append([str(row[key]) for key in KEYS] + [_cell(key, row.get(key)) for key in COLUMNS])
    return markdown([*KEYS, *COLUMNS.values()], lines)


def _cell(key: str, value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    digits = {"threshold": 3, "cpu_seconds_per_image": 3}.get(key, 1)
    return value if isinstance(value, str) else f"{value:.{digits}f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True, help="folder of imagenet650, imagenet10 and pets3")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "photographs_pretrained")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of this process")
    parser.add_argument("--table", action="store_true", help="print the table of finished rows and end")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    photographs = Photographs(arguments.photographs, arguments.work)
    for cell in () if arguments.table else cells():
        if row_of(finished(), cell) is None:
            do(photographs, cell)
    if not arguments.table:
        add_memory(photographs)
    print(table(finished()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
