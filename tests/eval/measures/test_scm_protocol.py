"""SCM's figures against its own test script."""

from __future__ import annotations

import numpy as np
import pytest
from vit_goldens import arrays, entries

from eval.measures.scm_protocol import IOU_THRESHOLDS, scm_figures


def test_figures_of_the_reference():
    entry, stored = entries()["scm_eval_a"], arrays("scm_eval_a")
    boxes = [np.array(flat).reshape(-1, 4) for flat in entry["config"]["gt_boxes"]]
    figures = scm_figures(stored["maps"], stored["scores"], np.array(entry["config"]["labels"]), boxes)
    results = entry["results"]
    for count, found in figures.items():
        assert found.top_k_cls == pytest.approx(results[f"cls_acc_top-{count}"])
        assert found.gt_known == pytest.approx(results[f"GT-Known_top-{count}"])
        for index, level in enumerate(IOU_THRESHOLDS):
            end = f"thr_{100 * level:.2f}_top-{count}"
            assert found.max_box_acc[index] == pytest.approx(results[f"maxbox_acc_{end}"])
            assert found.box_thresholds[index] == pytest.approx(results[f"det_optThred_{end}"])
            assert found.loc_acc[index] == pytest.approx(results[f"loc_acc_{end}"])
            assert found.loc_thresholds[index] == pytest.approx(results[f"loc_optThred_{end}"])
