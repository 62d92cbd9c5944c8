"""The training methods for CNNs against what the authors' code computed in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from method_goldens import arrays, assert_close, assert_gradients, configuration, fill, images, labels, ours, state

from wsol.boxes import boxes_from_score_map
from wsol.methods import method_of_authors
from wsol.methods.cutmix import cut_box
from wsol.methods.has import hide_squares
from wsol.methods.tap import thresholded_average
from wsol.scoremap import normalize_score_map

LAST_STAGE_WITHOUT_STRIDE = {"strides": {"layer4": 1}}
# Maps are handed on in float32.
MAPS = 1e-6


def names_of(method, name):
    """The authors' name of each parameter -> ours."""
    pairs = {key: list(method.in_our_names({key: torch.empty(0)})) for key in configuration(name)["parameters"]}
    return {key: found[0] for key, found in pairs.items() if found}


@pytest.mark.parametrize(
    ("name", "model"),
    [("bas_cub_resnet50", "resnet50"), ("bas_cub_vgg16", "vgg16_gap"), ("bas_ilsvrc_resnet50", "resnet50")],
)
def test_bas(name, model):
    config, expected = configuration(name), arrays(name)
    assert method_of_authors(state(name)) == "bas"
    options = {
        "second_weight": config["weight_cls2"],
        "area_weight": config["weight_area"],
        "top_classes": config["topk"],
        "ratio": config["dataset"].lower(),
    }
    method = ours(name, model, options)
    method.eval()
    cams = method.class_activation_maps(images(name), labels(name))
    assert_close(cams.logits[0], expected["eval/logits"])
    assert_close(cams.maps[0], expected["eval/map_topk"], MAPS, "map")
    if "eval/map_label" in expected:
        method.top_classes = 1
        maps = method.class_activation_maps(images(name), labels(name)).maps[0]
        assert_close(maps, expected["eval/map_label"], MAPS, "map of one class")

    method.train()
    output = method(images(name), labels(name))
    output.loss.backward()
    assert_close(output.logits, expected["train/score1"])
    assert_close(output.loss, expected["train/loss"])
    assert_gradients(name, method, names_of(method, name))
    # Statistics of the erased pass are its own: those of the network have seen one batch.
    buffers = dict(method.named_buffers())
    ran = zip(config["running"], expected.get("train/running_sum", ()), strict=True)
    for key, total in ran:
        if "_copy" not in key:
            assert buffers[f"network.{key}"].sum().item() == pytest.approx(total, rel=1e-8, abs=1e-8)


def test_c2am():
    name = "c2am_cub_alpha005"
    config, expected = configuration(name), arrays(name)
    assert method_of_authors(state(name)) == "c2am"
    method = ours(name, options={"alpha": config["alpha"]})
    method.eval()
    method.complement.fill_(False)
    maps = method.class_activation_maps(images(name)).maps[0]
    assert_close(maps, expected["eval/ccam"], MAPS, "map")
    for image, found in enumerate(expected["eval/ccam"]):
        for threshold, box in zip(config["thresholds"], expected["eval/boxes"][image], strict=True):
            # The authors read boxes off the small map and multiply them by input over map.
            assert np.array_equal(16 * boxes_from_score_map(found, threshold)[0], box)

    method.train()
    output = method(images(name), torch.zeros(config["batch"], dtype=torch.long))
    output.loss.backward()
    assert_close(output.loss, expected["train/loss"])
    assert_gradients(name, method, names_of(method, name))
    assert bool(method.complement) == bool(expected["train/is_negative"])


def test_tap():
    name = "tap_01"
    config, expected = configuration(name), arrays(name)
    features = torch.from_numpy(expected["features"]).double().requires_grad_()
    weight = fill("fc.weight", (config["num_classes"], features.shape[1])).requires_grad_()
    logits = thresholded_average(features, config["threshold"]) @ weight.T + fill("fc.bias", (len(weight),))
    loss = torch.nn.functional.cross_entropy(logits, labels(name))
    loss.backward()
    assert_close(logits, expected["pred"])
    assert_close(loss, expected["loss"])
    assert_close(features.grad, expected["grad_feature"], 1e-7, "gradient, stored in float32")
    assert weight.grad.norm().item() == pytest.approx(float(expected["grad_fc_weight_norm"]), rel=1e-8)


@pytest.mark.parametrize("name", ["acol", "adl", "spg", "spg_rare"])
def test_methods_of_wsolevaluation(name, monkeypatch):
    config, expected = configuration(name), arrays(name)
    assert method_of_authors(state(name)) == config["method"]
    options = {
        "acol": {"threshold": config.get("threshold")},
        "adl": {"drop_rate": config.get("drop_rate"), "threshold": config.get("threshold")},
        "spg": {"thresholds": config.get("thresholds")},
    }[config["method"]]
    method = ours(name, options=options, **LAST_STAGE_WITHOUT_STRIDE)
    method.eval()
    cams = method.class_activation_maps(images(name), labels(name))
    assert_close(cams.logits[0], expected["eval/logits"])
    for found, map_of in zip(cams.maps[0].numpy(), expected["eval/cam"], strict=True):
        # The reference's maps differ by a factor (ADL: a mean over channels) or a bias (SPG), which min-max undoes.
        assert_close(normalize_score_map(found), normalize_score_map(map_of), 1e-5, "map")

    method.train()
    draws = iter(map(torch.tensor, config.get("draws", ())))
    monkeypatch.setattr(torch, "rand", lambda *size, **options: next(draws))
    output = method(images(name), labels(name))
    output.loss.backward()
    assert_close(output.logits, expected["train/logits"])
    assert_close(output.loss, expected["train/loss"])
    assert_gradients(name, method, names_of(method, name))


def test_hide_and_seek(monkeypatch):
    config, expected = configuration("has"), arrays("has")
    draws = torch.from_numpy(expected["draws"]).unsqueeze(1)
    monkeypatch.setattr(torch, "rand", lambda *size, device=None: draws.reshape(size))
    hidden = hide_squares(torch.ones(len(draws), 3, 96, 96), config["grid_size"], config["drop_rate"])
    assert np.array_equal(hidden[:, 0].numpy() == 0, expected["hidden"])


def test_cutmix():
    config, expected = configuration("cutmix"), arrays("cutmix")
    size, kept = config["size"], float(expected["lam_drawn"])
    rows, columns = (expected["changed"].any((0, axis)).nonzero()[0] for axis in (2, 1))
    found = set()
    for row in range(size):
        for column in range(size):
            top, left, bottom, right = cut_box((size, size), kept, (row, column))
            if 1 - (bottom - top) * (right - left) / size**2 == float(expected["lam"]):
                found.add((top, left, bottom, right))
    assert (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) in found
