from __future__ import annotations

import pytest
import timm
import torch

from tdam.errors import UnknownNameError, UserError
from wsol.methods import create_method
from wsol.training import TrainingConfig, default_recipe, list_recipes, load_recipe
from wsol.training.optim import create_optimizer, create_schedule


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_is_a_valid_run(name):
    config = TrainingConfig.from_dict({"model": "resnet_mini", "dataset": "minibirds", **load_recipe(name)})
    config.check()
    assert TrainingConfig.from_dict(config.as_dict()) == config


def test_the_published_imagenet_schedule_warms_up_falls_and_cools_down():
    config = TrainingConfig.from_dict(load_recipe("tdam-imagenet"))
    network = timm.create_model("resnet18", num_classes=10)
    optimizer = create_optimizer(create_method("cam", network), config)
    schedule, epochs = create_schedule(optimizer, config, updates_per_epoch=10)
    assert epochs == 160

    def rate_at(epoch):
        schedule.step_update(int(epoch * 10))
        return optimizer.param_groups[0]["lr"]

    assert rate_at(0) == pytest.approx(1e-4)
    assert rate_at(2.5) == pytest.approx(1e-4 + 0.5 * (0.4 - 1e-4))
    assert rate_at(75) == pytest.approx(0.2, rel=1e-3)
    assert rate_at(150) == rate_at(155) == pytest.approx(1e-6)


def test_the_classifier_of_wsolevaluation_learns_ten_times_faster_and_steps_down():
    config = TrainingConfig.from_dict({**load_recipe("wsolevaluation-cub-resnet50"), "init": None})
    network = timm.create_model("resnet50", num_classes=10)
    optimizer = create_optimizer(create_method("cam", network), config)
    schedule, _ = create_schedule(optimizer, config, updates_per_epoch=4)
    names = {id(value): name for name, value in network.named_parameters()}
    for epoch, decay in ((0, 1.0), (14, 1.0), (15, 0.1), (30, 0.01)):
        schedule.step_update(epoch * 4)
        for group in optimizer.param_groups:
            fast = {names[id(value)].startswith(("layer4.", "fc.")) for value in group["params"]}
            assert len(fast) == 1
            scale = 10 if fast.pop() else 1
            assert group["lr"] == pytest.approx(config.lr * decay * scale)
            assert group["weight_decay"] == 1e-4


@pytest.mark.parametrize(
    ("recipe", "epochs"),
    [("ts-cam-cub-deit-small", (29, 59)), ("ts-cam-imagenet-deit-small", (9, 11, 19)), ("bas-cub-resnet50", (80,))],
)
def test_the_rate_falls_by_ten_between_two_epochs(recipe, epochs):
    config = TrainingConfig.from_dict({**load_recipe(recipe), "init": None})
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=config.lr)
    schedule, _ = create_schedule(optimizer, config, updates_per_epoch=7)
    for update in range(7 * config.epochs):
        schedule.step_update(update)
        falls = sum(update >= 7 * epoch for epoch in epochs)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(config.lr * 0.1**falls), update


def test_norms_and_biases_are_not_decayed():
    network = timm.create_model("resnet18", num_classes=10)
    config = TrainingConfig(model="resnet18", dataset="cub", weight_decay=0.3)
    optimizer = create_optimizer(create_method("cam", network), config)
    for group in optimizer.param_groups:
        for value in group["params"]:
            assert group["weight_decay"] == (0.3 if value.ndim > 1 else 0.0)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))


def test_a_recipe_of_the_user(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("lr: 0.5\nmethod: has\nmethod_args: {grid_size: 16}\n")
    assert load_recipe(str(path)) == {"lr": 0.5, "method": "has", "method_args": {"grid_size": 16}}
    path.write_text("learning_rate: 0.5\n")
    with pytest.raises(UnknownNameError, match=r"setting in recipe mine\.yaml 'learning_rate'"):
        load_recipe(str(path))
    path.write_text("- a\n- list\n")
    with pytest.raises(UserError, match="KEY: VALUE"):
        load_recipe(str(path))


def test_recipes_are_found_by_name_and_by_dataset():
    assert default_recipe("minibirds") == "minibirds"
    assert default_recipe("cub") is None
    with pytest.raises(UnknownNameError, match="valid: minibirds"):
        load_recipe("minibird")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"method": "camm"}, "unknown method 'camm'; valid: cam"),
        ({"schedule": "cosin"}, "unknown schedule"),
        ({"method": "cutmix", "mixup": 0.2}, "mixes images itself"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(UserError, match=message):
        TrainingConfig(model="resnet18", dataset="cub", **settings).check()


def test_settings_that_change_no_weight_may_differ_in_a_continued_run():
    first = TrainingConfig(model="resnet18", dataset="cub")
    second = TrainingConfig(model="resnet18", dataset="cub", workers=9, output="elsewhere", seed=3)
    assert first.differences(second) == ["seed: 0 != 3"]
