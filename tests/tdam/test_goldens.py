"""Networks of the TDAM authors, reproduced through a file in their naming."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from shared import golden_path
from tdam_goldens import assert_close, configurations, create, create_filled, images

import tdam
from tdam.checkpoints import foreign_names

NAMES = [
    "r18_t2_m2_joint",
    "r18_t2_m0_joint",
    "r18_t3_m1_bilinear",
    "r18_t2_m2_joint_channel_only",
    "r18_t2_m2_joint_spatial_only",
    "r18_t2_m2_joint_fixed_rd32",
    "r18_t2_m1_joint_learn_pool_shared_avp",
    "r26d_t2_m1_joint",
    "r34_t2_m2_joint",
    "r50_t2_m0_top",
    "r50_t2_m1_joint",
    "r50_t2_m1_joint_224",
    "r50_t2_m1_joint_learn_pool_shared",
    "r50_t2_m1_joint_mp_avp_sum",
    "r50_t2_m1_simple_mapping",
    "r50_t2_m1_top",
    "r50_t2_m2_joint",
    "r50_t2_m3_top",
    "r50_t3_m2_bilinear",
    "r101_t2_m1_joint_layer4",
    "convnext_t2_m1_joint",
    "legacy_r18_t2_m2_joint",
    "legacy_r50_t2_m1_joint_nobnt",
]


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_maps_of_every_step(name: str, tmp_path: Path) -> None:
    configuration = configurations()[name]
    golden = np.load(golden_path("tdam", configuration["file"]))
    model = create_filled(name, tmp_path).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == configuration["params"]

    x = images(2, configuration["input_size"])
    with torch.no_grad():
        last, steps = model(x), tdam.forward_steps(model, x)
        first = tdam.at_step(model, 1)(x)
    class_ids = torch.from_numpy(golden["B/cam_class_t"])
    maps = torch.einsum("tbdhw,tbd->tbhw", steps.features, steps.classifier_weight[class_ids])
    assert_close(last, golden["B/logits"], "logits")
    assert_close(steps.logits, golden["B/logits_t"], "logits of every step")
    assert_close(first, golden["B/logits_t"][0], "logits of at_step 1")
    assert_close(maps, golden["B/cam_t"], "maps")
    assert_close(steps.features.mean(2), golden["B/feat_channel_mean_t"], "features")
    assert (steps.logits.argmax(-1) == class_ids).all()


@pytest.mark.parametrize("name", ["r18_t2_m2_joint", "r50_t2_m1_joint", "r50_t3_m2_bilinear", "convnext_t2_m1_joint"])
def test_training_step(name: str, tmp_path: Path) -> None:
    index = json.loads(golden_path("tdam", "train_step_index.json").read_text())["configs"][name]
    golden = np.load(golden_path("tdam", "train_step.npz"))
    model = create_filled(name, tmp_path).train()

    logits = model(images(4, configurations()[name]["input_size"]))
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([1, 7, 3, 0]))
    loss.backward()
    gradients = {key: value.grad for key, value in model.named_parameters()}
    state = model.state_dict()

    assert_close(logits, golden[f"{name}/logits"], "logits")
    assert_close(loss, golden[f"{name}/loss"], "loss")
    ours = foreign_names(model)
    # The reference's own float32 rounding: a float64 run of the same network differs by up to 2.1e-3.
    tolerance = 5e-3
    for kind, tensors in (("grad", gradients), ("buffer", state)):
        for key, reference in zip(index[f"{kind}_keys"], golden[f"{name}/{kind}_l2"], strict=True):
            assert_close(torch.linalg.vector_norm(tensors[ours.get(key, key)]), reference, key, tolerance)
    tracked = [int(state[key]) for key in index["tracked_keys"]]
    assert tracked == golden[f"{name}/num_batches_tracked"].tolist()


def test_a_norm_shared_between_steps_would_be_noticed(tmp_path: Path) -> None:
    """The tolerance is strict enough to catch the smallest mistakes of the reference data's list."""
    golden = np.load(golden_path("tdam", "r18_t2_m2_joint.npz"))
    model = create_filled("r18_t2_m2_joint", tmp_path).eval()
    model.layer4[1].bn2_1 = model.layer4[1].bn2
    with torch.no_grad(), pytest.raises(AssertionError, match="relative error"):
        assert_close(model(images(2, 96)), golden["B/logits"], "logits")


def test_every_configuration_of_the_reference_is_tested() -> None:
    assert set(configurations()) == set(NAMES)
    assert create("r18_t2_m2_joint").feedback.td_blocks == {3: (0, 1, 2, 3, 4, 5), 4: (0, 1, 2, 3, 4, 5)}
