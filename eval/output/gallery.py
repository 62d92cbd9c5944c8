"""Chosen images of a judged split with every step's map: for the picture grid and for the report's gallery."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from eval.judging.thresholds import Thresholds
from eval.maps import MapSource
from eval.output.predictions import HIT_COLUMNS
from tdam.errors import UserError, check_name
from tdam.files import write_bytes, write_text
from wsol import draw
from wsol.data import ImageError, LocalizationDataset
from wsol.draw.contours import outline
from wsol.draw.overlay import OPACITY, fit_map
from wsol.draw.style import SCORE_COLOURS
from wsol.localization import Localization, StepLocalization
from wsol.marks import picture_options

FOLDER: Final = "gallery"
INDEX: Final = "gallery.json"
PICKS: Final = ("correct", "wrong", "gained", "lost", "random")
FOUND: Final = HIT_COLUMNS["gt_known_loc"]
PHOTO_SIDE: Final = 320
MAP_SIDE: Final = 40
"""Maps are enlarged from 7 to 14 cells a side; the browser enlarges these pixels as smoothly again."""


def outcomes(predictions: pd.DataFrame) -> pd.Series:
    """What the last step made of each image, against the first.

    Args:
        predictions: Rows of predictions.csv, the steps of an image in rising order.

    Returns:
        By image name: "gained" (not found at the first step, found at the last), "lost" (found, then not), "correct"
        (found at both) or "wrong". Images without a ground-truth box are left out: nothing was to be found.
    """
    judged = predictions[predictions[FOUND].notna()]
    hits = judged[FOUND].eq(1).groupby(judged["image"], sort=False).agg(["first", "last"])
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


@dataclass(frozen=True)
class JudgedImages:
    """The images of a judged split, to be looked at: maps anew, boxes, classes and hits as judged.

    Attributes:
        source: Where the maps of the split came from.
        dataset: Gives the images.
        predictions: As in `outcomes`.
        thresholds: Those the boxes were found at.
        network: Name of the network, for titles.
    """

    source: MapSource
    dataset: LocalizationDataset
    predictions: pd.DataFrame
    thresholds: Thresholds
    network: str

    def localizations(self, names: Sequence[str]) -> Iterator[tuple[int, Localization, pd.DataFrame]]:
        """Chosen images as `Localization` objects.

        Args:
            names: Names of the images.

        Yields:
            Position in the split, localization, and the image's rows of `predictions`. The score maps are those of the
            ground-truth class. Images that cannot be read are left out.
        """
        image_ids = self.dataset.ground_truth.image_ids
        places = {name: place for place, name in enumerate(image_ids)}
        rows_of = dict(list(self.predictions[self.predictions["image"].isin(names)].groupby("image")))
        for batch in self.source.batches([places[name] for name in names]):
            for number, index in enumerate(batch.indices.tolist()):
                if index in batch.unreadable:
                    continue
                try:
                    image = self.dataset.image(index)
                except ImageError:  # maps of another program can be judged without the images
                    continue
                rows = rows_of[image_ids[index]]
                steps = tuple(
                    StepLocalization(
                        step=int(row["step"]),
                        class_id=int(row["class_id"]),
                        label=str(row["class_name"]),
                        score=float(row["confidence"]),
                        box=np.array([row[end] for end in ("x0", "y0", "x1", "y1")], dtype=np.int64),
                        score_map=np.asarray(batch.score_maps[step, number], dtype=np.float32),
                        threshold=self.thresholds.headline(str(row["step"])),
                    )
                    for step, row in enumerate(rows.to_dict("records"))
                )
                yield index, Localization(Path(image_ids[index]), image, steps, self.network), rows

    def pages(self, names: Sequence[str]) -> list[Figure]:
        """Chosen images in rows: ground truth, then map, outline and box of every step, and what changed.

        Args:
            names: Names of the images, see `pick`.

        Returns:
            As many pages as the rows need, for `wsol.draw.save_pages`.
        """
        chosen = list(self.localizations(names))
        truth = self.dataset.ground_truth
        return draw.grid_pages(
            [found for _, found, _ in chosen],
            truths=[truth.boxes[index] for index, _, _ in chosen],
            titles=[draw.short_label(truth.class_names[truth.labels[index]]) for index, _, _ in chosen],
            difference=self.source.steps > 1,
            verdicts=[[_verdict(row) for row in rows.to_dict("records")] for _, _, rows in chosen],
        )


def _verdict(row: Mapping[Hashable, Any]) -> draw.Verdict | None:
    """What was decided of a step, None where there was no box to find."""
    if pd.isna(row[FOUND]):
        return None
    known_class = not pd.isna(row["confidence"])
    return draw.Verdict(bool(row[FOUND] == 1), float(row["iou"]), bool(row["top1_correct"]) if known_class else None)


@dataclass(frozen=True)
class Gallery:
    """Chosen images with their pictures, as the report shows them.

    Attributes:
        entries: One per image; pictures are named as in `pictures`.
        pictures: Content of the WebP files by name. Names of images never become names of files.
    """

    entries: list[dict[str, Any]]
    pictures: dict[str, bytes]

    def write(self, folder: Path) -> Path:
        """Write the pictures and an index of them below a results folder.

        Returns:
            Path of the index.
        """
        for name, content in self.pictures.items():
            write_bytes(folder / FOLDER / name, content)
        index = folder / FOLDER / INDEX
        write_text(index, json.dumps(self.entries, indent=1) + "\n")
        return index

    @classmethod
    def read(cls, folder: Path) -> Gallery:
        """Read what `write` wrote below a results folder; empty if there is no gallery.

        Raises:
            UserError: If the index or a picture is missing or damaged.
        """
        index = folder / FOLDER / INDEX
        if not index.is_file():
            return cls([], {})
        try:
            entries = json.loads(index.read_text(encoding="utf-8"))
            names = [name for entry in entries for name in (entry["photo"], *(step["map"] for step in entry["steps"]))]
            # Only names of files, so that an index from elsewhere reads nothing outside the gallery.
            return cls(entries, {name: (index.parent / Path(name).name).read_bytes() for name in names})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{index} is not a readable gallery ({error}); evaluate again") from error


def make_gallery(images: JudgedImages, names: Sequence[str]) -> Gallery:
    """Small photographs and maps of chosen images.

    Args:
        images: The judged images.
        names: Names of the images, see `pick_for_gallery`.
    """
    kinds = outcomes(images.predictions)
    gallery = Gallery([], {})
    for index, found, rows in images.localizations(names):
        entry = _add_pictures(gallery.pictures, index, found, rows, images.dataset)
        gallery.entries.append(entry | {"outcome": kinds[images.dataset.ground_truth.image_ids[index]]})
    return gallery


def _add_pictures(
    pictures: dict[str, bytes], index: int, found: Localization, rows: pd.DataFrame, dataset: LocalizationDataset
) -> dict[str, Any]:
    """One image's entry; its pictures are added to the others."""
    photo = found.image.copy()
    photo.thumbnail((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.LANCZOS)
    pictures[f"{index}.webp"] = _webp(photo, 80)
    steps = []
    for step, (_, row) in zip(found.steps, rows.iterrows(), strict=True):
        pictures[f"{index}-{step.step}.webp"] = _webp(coloured_map(step.score_map), 85)
        steps.append(
            {
                "step": step.step,
                "map": f"{index}-{step.step}.webp",
                "class_name": step.label,
                "confidence": None if np.isnan(step.score) else round(step.score, 4),
                "class_correct": bool(row["top1_correct"]),
                "box": step.box.tolist(),
                "outline": _outline(step, found.image_size),
                "iou": round(float(row["iou"]), 4),
                "localized": bool(row[FOUND] == 1),
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


def _outline(step: StepLocalization, size: tuple[int, int]) -> list[list[float]]:
    """Corners x y of the threshold's outline in pixels of the image; empty where the box is not its bounding box."""
    contour = outline(step, size)
    return [] if contour is None else contour.round(1).tolist()


def _webp(picture: Image.Image, quality: int) -> bytes:
    content = BytesIO()
    picture.save(content, "webp", quality=quality, **picture_options(".webp"))
    return content.getvalue()


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
