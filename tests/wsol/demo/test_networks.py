"""The networks the page offers, and what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
from PIL import Image
from results_folder import MODEL, write_checkpoint

import tdam
import wsol
from tdam.errors import UnknownNameError, UserError
from wsol.demo import networks as demo_networks
from wsol.demo.networks import EXAMPLES, Networks, at_threshold, example_image
from wsol.demo.page import step_table
from wsol.demo.viewer import steps_html


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="module")
def networks(checkpoint: Path) -> Networks:
    return Networks(MODEL, checkpoint)


def test_without_a_wish_the_first_network_has_top_down_attention() -> None:
    offered = Networks()
    assert offered.names[0] == "resnet_mini_tdam (minibirds)"
    found = offered.localize(offered.names[0], example_image(EXAMPLES[0]))
    assert len(found.steps) == 2
    assert found.steps[-1].top[0].score > demo_networks.LOW_CONFIDENCE


def test_ones_own_network_comes_first(networks: Networks) -> None:
    assert networks.names[0] == MODEL
    assert "resnet_mini_tdam (minibirds)" in networks.names


def test_sources_name_no_folder_of_this_machine(networks: Networks, checkpoint: Path) -> None:
    for name in networks.names:
        assert "/" not in networks.source(name)
    assert networks.source(MODEL) == f"weights of {checkpoint.name}"


def test_what_a_network_knows_is_listed_where_it_is_little() -> None:
    offered = Networks()
    assert offered.knows(offered.names[0]).startswith("12 classes: Red crowned plain, Yellow crowned plain")


def test_boxes_follow_the_threshold_as_the_localizer_has_them(networks: Networks, checkpoint: Path) -> None:
    image = example_image(0).resize((120, 70))
    found = networks.localize(MODEL, image)
    for threshold in (0.1, 0.5, 0.9):
        (expected,) = wsol.Localizer(MODEL, checkpoint, threshold=threshold)(image)
        moved = at_threshold(found, threshold)
        assert [step.box.tolist() for step in moved.steps] == [step.box.tolist() for step in expected.steps]
        assert [step.threshold for step in moved.steps] == [threshold] * 2


def test_names_that_are_not_offered_are_refused(networks: Networks) -> None:
    with pytest.raises(UnknownNameError, match=MODEL):
        networks.open("../../etc/passwd")
    with pytest.raises(UnknownNameError, match="grad-cam"):
        networks.localize(MODEL, Image.new("RGB", (9, 9)), "grad-cm")


def test_only_methods_that_work_for_the_network_are_offered(tmp_path: Path) -> None:
    every = set(wsol.map_methods())
    transformer = tmp_path / "vit.safetensors"
    vit = timm.create_model("test_vit", num_classes=3)
    tdam.save_checkpoint(vit, transformer, {"model": "test_vit", "num_classes": 3, "model_args": {}, "trained": True})
    offered = Networks("test_vit", transformer)
    tdam_network, plain = "resnet_mini_tdam (minibirds)", "resnet_mini (minibirds)"
    assert offered.methods("test_vit")[0] == "cam"
    assert {"attention-rollout", "legrad"} <= set(offered.methods("test_vit"))
    assert every - set(offered.methods(plain)) >= {"attention-rollout", "legrad", "ts-cam", "searchlight"}
    for name in ("test_vit", tdam_network, plain):
        for method in every:
            if method in offered.methods(name):
                offered.localize(name, example_image(1), method)
            else:
                with pytest.raises(UserError):
                    offered.localize(name, example_image(1), method)


def test_without_any_weights_there_is_no_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo_networks, "BUNDLED", tmp_path)
    with pytest.raises(UserError, match="--checkpoint"):
        Networks()


def test_several_methods_follow_the_threshold_and_show_in_rows(networks: Networks, checkpoint: Path) -> None:
    image = example_image(0).resize((120, 70))
    found = at_threshold(networks.localize(MODEL, image, ["cam", "activation"]), 0.6)
    (expected,) = wsol.Localizer(MODEL, checkpoint, threshold=0.6, method="activation")(image)
    boxes = [step.box.tolist() for step in expected.steps]
    assert [step.box.tolist() for step in found.by_method["activation"]] == boxes
    assert [row[0] for row in step_table(found)] == ["cam 1", "cam 2", "activation 1", "activation 2"]
    assert [row[3] for row in step_table(found)][2:] == [" ".join(map(str, box)) for box in boxes]
    html = str(steps_html(found))
    assert html.count('<div class="steps">') == 2
    assert html.index("activation") > html.index("cam")
    with pytest.raises(UserError, match="no map method"):
        networks.localize(MODEL, image, [])
