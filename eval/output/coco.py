"""Predictions and ground truth as COCO JSON, so that pycocotools, FiftyOne and others read them.

Images and categories keep the ids of the COCO file that the ground truth was read from; other datasets are numbered
from 1.

A detection is the box of the map of the last step's own top class, with that class's probability as its score: what
the network says without knowing the label.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.judging.split import JudgedSplit
from eval.output.results import write_json
from tdam.errors import UserError
from wsol.data.ground_truth import CocoIds, GroundTruth

DETECTIONS, GROUND_TRUTH = "coco_detections.json", "coco_ground_truth.json"
# COCO numbers categories and images from 1; some readers take 0 for "none".
FIRST = 1


def write_coco(folder: Path, judged: JudgedSplit) -> None:
    """Write coco_detections.json and coco_ground_truth.json.

    Args:
        folder: Folder to write into.
        judged: A judged split with predictions.

    Raises:
        UserError: If only maps were judged, so that there are no predicted classes.
    """
    step, ids = len(judged.steps) - 1, ids_of(judged.ground_truth)
    detections: list[dict[str, Any]] = []
    for records in judged.records():
        for record in records[records["class_id"][:, step] >= 0]:
            detections.append(
                {
                    "image_id": ids.images[int(record["index"])],
                    "category_id": ids.categories[int(record["class_id"][step])],
                    "bbox": corner_to_size(record["predicted_box"][step]),
                    "score": round(float(record["confidence"][step]), 6),
                }
            )
    if not detections:
        raise UserError("COCO detections need predicted classes; score maps alone have none")
    write_json(folder / DETECTIONS, detections)
    write_json(folder / GROUND_TRUTH, coco_ground_truth(judged))


def ids_of(truth: GroundTruth) -> CocoIds:
    """Ids of images and categories: those of the COCO file that they come from, else numbers from 1."""
    if truth.coco_ids is not None:
        return truth.coco_ids
    images, categories = (range(FIRST, FIRST + count) for count in (len(truth), truth.num_classes))
    return CocoIds(tuple(images), tuple(categories))


def coco_ground_truth(judged: JudgedSplit) -> dict[str, Any]:
    """The split's lists as a COCO dataset: images, categories and one annotation per box."""
    truth = judged.ground_truth
    ids = ids_of(truth)
    boxes = [(image, box) for image, of_image in enumerate(truth.boxes) for box in of_image]
    return {
        "images": [
            {"id": ids.images[number], "file_name": name, "width": int(width), "height": int(height)}
            for number, (name, (width, height)) in enumerate(zip(truth.image_ids, truth.sizes, strict=True))
        ],
        "categories": [
            {"id": number, "name": name} for number, name in zip(ids.categories, truth.class_names, strict=True)
        ],
        "annotations": [
            {
                "id": number + FIRST,
                "image_id": ids.images[image],
                "category_id": ids.categories[int(truth.labels[image])],
                "bbox": (size := corner_to_size(box)),
                "area": size[2] * size[3],
                "iscrowd": 0,
            }
            for number, (image, box) in enumerate(boxes)
        ],
    }


def corner_to_size(box: npt.NDArray[np.integer]) -> list[int]:
    """``x0 y0 x1 y1`` as COCO's ``x y width height``; x1 and y1 are one past the last pixel.

    >>> corner_to_size(np.array([2, 3, 10, 5]))
    [2, 3, 8, 2]
    """
    x0, y0, x1, y1 = (int(value) for value in box)
    return [x0, y0, x1 - x0, y1 - y0]
