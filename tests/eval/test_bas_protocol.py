"""Protocol bas against the maps and boxes of BAS's own evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from method_goldens import arrays, configuration

from eval.protocols import get_protocol
from wsol.scoremap import normalize_score_map, score_maps
from wsol.sweep import best_iou_per_cut


@pytest.mark.parametrize("name", ["bas_cub_resnet50", "bas_cub_vgg16", "bas_ilsvrc_resnet50"])
def test_maps_and_boxes(name):
    stored, config, protocol = arrays(name), configuration(name), get_protocol("bas")
    dataset = {"CUB": "cub", "ILSVRC": "imagenet"}[config["dataset"]]
    enlarged = score_maps(stored["eval/map_topk"], (config["size"], config["size"]), protocol.map_interpolation)
    # Theirs is normalized before it is enlarged, ours afterwards, so that its maximum is 1.
    np.testing.assert_allclose(enlarged[0], normalize_score_map(stored["eval/map_up0"]), atol=1e-5)
    threshold = protocol.threshold_for(dataset)
    sweep = best_iou_per_cut(enlarged, [[[0, 0, 9, 9]]] * len(enlarged), protocol.convention)
    theirs = stored["eval/boxes"][:, config["thresholds"].index(threshold)]
    np.testing.assert_array_equal(sweep.boxes_at(threshold), theirs)
