"""Chosen images of a judged split with every step's map: for the picture grid and for the report's gallery."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from eval.maps import MapSource
from tdam.errors import check_name
from wsol import draw
from wsol.data import ImageError, LocalizationDataset
from wsol.draw.overlay import OPACITY, fit_map
from wsol.draw.style import SCORE_COLOURS
from wsol.localization import Localization, StepLocalization

FOLDER: Final = "gallery"
INDEX: Final = "gallery.json"
PICKS: Final = ("correct", "wrong", "gained", "lost", "random")
IOU_HIT: Final = 0.5
PHOTO_SIDE: Final = 256
MAP_SIDE: Final = 40
"""Maps are enlarged from 7 to 14 cells a side; the browser enlarges these pixels as smoothly again."""


def read_predictions(path: Path) -> pd.DataFrame:
    """Read predictions.csv, names as text whatever they are.

    Args:
        path: The file.

    Returns:
        One row per image and step, as `eval.output.results.prediction_chunks` wrote them.
    """
    texts = ("image", "label_name", "class_name")
    numbers = ("confidence", "iou", "iou_fixed")
    return pd.read_csv(
        path,
        dtype=dict.fromkeys(texts, str),
        keep_default_na=False,  # a class may be called "NA" or "null"
        na_values={name: ["", "nan", "NaN"] for name in numbers},
    )


def outcomes(predictions: pd.DataFrame) -> pd.Series:
    """What the last step made of each image, against the first.

    Args:
        predictions: Rows of predictions.csv, the steps of an image in rising order.

    Returns:
        By image name: "gained" (wrong, then right), "lost" (right, then wrong), "correct" (right at both) or "wrong".
    """
    hits = predictions["iou"].ge(IOU_HIT).groupby(predictions["image"], sort=False).agg(["first", "last"])
    first, last = hits["first"].astype(bool), hits["last"].astype(bool)
    kinds = np.select([last & ~first, first & ~last, last & first], ["gained", "lost", "correct"], "wrong")
    return pd.Series(kinds, index=hits.index)


def pick(predictions: pd.DataFrame, kind: str, count: int, seed: int = 0) -> list[str]:
    """Choose images of a kind at random.

    Args:
        predictions: As in `outcomes`.
        kind: "correct" or "wrong" by the last step, "gained" or "lost" by it against the first, or "random".
        count: At most so many.
        seed: Seed of the choice.

    Returns:
        Names of the images in the order of `predictions`; fewer than `count` where there are no more of the kind.

    Raises:
        UnknownNameError: If `kind` is none of `PICKS`.
    """
    check_name("pick", kind, PICKS)
    found = outcomes(predictions)
    members = {
        "correct": found.isin(["correct", "gained"]),
        "wrong": found.isin(["wrong", "lost"]),
        "gained": found == "gained",
        "lost": found == "lost",
        "random": found.notna(),
    }[kind]
    candidates = found.index[members]
    chosen = np.random.default_rng(seed).choice(len(candidates), size=min(count, len(candidates)), replace=False)
    return candidates[np.sort(chosen)].tolist()


def pick_for_gallery(predictions: pd.DataFrame, count: int, seed: int = 0) -> list[str]:
    """Choose images for a gallery: as many gained as lost as wrong as correct ones, then any.

    Args:
        predictions: As in `outcomes`.
        count: At most so many.
        seed: Seed of the choice.

    Returns:
        Names of the images in the order of `predictions`.
    """
    found = outcomes(predictions)
    shuffled = found.sample(frac=1, random_state=seed)
    # Number of each image among those of its own outcome: taking low numbers first balances the outcomes.
    turn = shuffled.groupby(shuffled).cumcount()
    chosen = set(turn.sort_values(kind="stable").index[:count])
    return [name for name in found.index if name in chosen]


def localizations(
    source: MapSource, dataset: LocalizationDataset, predictions: pd.DataFrame, names: Sequence[str]
) -> Iterator[tuple[int, Localization, pd.DataFrame]]:
    """Chosen images of a judged split as `Localization` objects: maps anew, boxes and classes as judged.

    Args:
        source: Where the maps of the split came from.
        dataset: Gives the images.
        predictions: As in `outcomes`.
        names: Names of the images.

    Yields:
        Position in the split, localization, and the image's rows of `predictions`. The score maps are those of the
        ground-truth class. Images that cannot be read are left out.
    """
    places = {name: place for place, name in enumerate(dataset.ground_truth.image_ids)}
    rows_of = dict(list(predictions[predictions["image"].isin(names)].groupby("image")))
    for batch in source.batches([places[name] for name in names]):
        for number, index in enumerate(batch.indices.tolist()):
            if index in batch.unreadable:
                continue
            try:
                image = dataset.image(index)
            except ImageError:  # maps of another program can be judged without the images
                continue
            name = dataset.ground_truth.image_ids[index]
            rows = rows_of[name]
            found = tuple(
                StepLocalization(
                    step=int(row["step"]),
                    class_id=int(row["class_id"]),
                    label=str(row["class_name"]),
                    score=float(row["confidence"]),
                    box=np.array([row[end] for end in ("x0", "y0", "x1", "y1")], dtype=np.int64),
                    score_map=np.asarray(batch.score_maps[step, number], dtype=np.float32),
                )
                for step, row in enumerate(rows.to_dict("records"))
            )
            yield index, Localization(Path(name), image, found), rows


def picture_grid(
    source: MapSource,
    dataset: LocalizationDataset,
    predictions: pd.DataFrame,
    names: Sequence[str],
    difference: bool = False,
) -> Figure:
    """A figure of chosen images: ground truth, then map and box of every step.

    Args:
        source: Where the maps of the split came from.
        dataset: Gives the images.
        predictions: As in `outcomes`.
        names: Names of the images, see `pick`.
        difference: Add what the last step gained and lost against the first.

    Returns:
        The figure.
    """
    chosen = list(localizations(source, dataset, predictions, names))
    truth = dataset.ground_truth
    return draw.grid_figure(
        [found for _, found, _ in chosen],
        truths=[truth.boxes[index] for index, _, _ in chosen],
        titles=[draw.short_label(truth.class_names[truth.labels[index]]) for index, _, _ in chosen],
        difference=difference,
    )


def write_gallery(
    folder: Path,
    source: MapSource,
    dataset: LocalizationDataset,
    predictions: pd.DataFrame,
    names: Sequence[str],
) -> Path:
    """Write small photographs and maps of chosen images, and an index of them, for the report.

    Args:
        folder: Results folder; the gallery becomes a folder in it.
        source: Where the maps of the split came from.
        dataset: Gives the images.
        predictions: As in `outcomes`.
        names: Names of the images, see `pick_for_gallery`.

    Returns:
        Path of the index.
    """
    gallery = folder / FOLDER
    gallery.mkdir(parents=True, exist_ok=True)
    kinds = outcomes(predictions)
    entries = [
        _write_entry(gallery, index, found, rows, dataset) | {"outcome": kinds[dataset.ground_truth.image_ids[index]]}
        for index, found, rows in localizations(source, dataset, predictions, names)
    ]
    path = gallery / INDEX
    path.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    return path


def _write_entry(
    gallery: Path, index: int, found: Localization, rows: pd.DataFrame, dataset: LocalizationDataset
) -> dict[str, Any]:
    """Write one image's files, named by its number: names of images never become names of files."""
    photo = found.image.copy()
    photo.thumbnail((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.LANCZOS)
    photo.save(gallery / f"{index}.webp", quality=80)
    steps = []
    for step, (_, row) in zip(found.steps, rows.iterrows(), strict=True):
        coloured_map(step.score_map).save(gallery / f"{index}-{step.step}.webp", quality=85)
        steps.append(
            {
                "step": step.step,
                "map": f"{index}-{step.step}.webp",
                "class_name": step.label,
                "confidence": None if np.isnan(step.score) else round(step.score, 4),
                "class_correct": bool(row["top1_correct"]),
                "box": step.box.tolist(),
                "iou": round(float(row["iou"]), 4),
                "localized": bool(row["iou"] >= IOU_HIT),
            }
        )
    truth = dataset.ground_truth
    width, height = found.image_size
    return {
        "image": truth.image_ids[index],
        "photo": f"{index}.webp",
        "width": width,
        "height": height,
        "class_name": truth.class_names[truth.labels[index]],
        "truth": truth.boxes[index].tolist(),
        "steps": steps,
    }


def coloured_map(score_map: npt.NDArray[np.floating]) -> Image.Image:
    """A score map as a small picture in the colours of `wsol.draw`.

    Args:
        score_map: `(H, W)` in [0, 1].

    Returns:
        RGBA image of `MAP_SIDE` pixels a side, more opaque where the score is higher; like the map it spans the whole
        image, whatever the image's aspect.
    """
    scores = np.clip(fit_map(np.asarray(score_map), MAP_SIDE, MAP_SIDE), 0, 1)
    pixels = SCORE_COLOURS(scores)
    pixels[..., 3] = OPACITY * scores
    return Image.fromarray((pixels * 255).round().astype(np.uint8))
