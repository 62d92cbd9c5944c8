"""Protocol ts-cam against the boxes and counts of TS-CAM's own evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from vit_goldens import arrays, entries

from eval.measures.outcomes import Outcome, outcome
from eval.protocols import get_protocol
from wsol.scoremap import score_maps
from wsol.sweep import best_iou_per_cut

ERRORS = (Outcome.CORRECT, Outcome.WRONG_CLASS, Outcome.SEVERAL_OBJECTS, Outcome.PART, Outcome.MORE, Outcome.MISSED)


@pytest.mark.parametrize("threshold", [0.1, 0.12])
@pytest.mark.parametrize("name", ["tscam_a", "tscam_b"])
def test_boxes_hits_and_kinds_of_error(name, threshold):
    stored, config, protocol = arrays(name), entries()[name]["config"], get_protocol("ts-cam")
    side, labels, logits = config["img_size"], config["targets"], stored["eval/logits"]
    for image, (maps, label) in enumerate(zip(stored["eval/cams"], labels, strict=True)):
        truth = np.array(config["gt_boxes"][image]).reshape(-1, 4)
        resized = score_maps(maps, (side, side), protocol.map_interpolation)
        np.testing.assert_allclose(resized[0], stored["eval/resized_class0"][image], atol=5e-4)  # kept in float16
        sweep = best_iou_per_cut(resized, [truth] * len(maps), protocol.convention)
        boxes = sweep.boxes_at(threshold)
        np.testing.assert_array_equal(boxes, stored[f"eval/thr{threshold}/boxes"][image])
        iou = sweep.iou_at([threshold])[:, 0]
        ranked = np.argsort(-logits[image])[:5].tolist()
        hit = iou > 0.5 if protocol.top_k_strict else iou >= 0.5
        gt_known = iou[label] > 0.5 if protocol.gt_known_strict else iou[label] >= 0.5
        right = {k: label in ranked[:k] for k in (1, 5)}
        kind = outcome(boxes[ranked[0]], truth, right[1], bool(right[1] and hit[label]))
        ours = [right[1], right[5], right[1] and hit[label], right[5] and hit[label], gt_known]
        ours += [kind == error for error in ERRORS]
        np.testing.assert_array_equal(np.array(ours, dtype=int), stored[f"eval/thr{threshold}/bits"][:, image])
