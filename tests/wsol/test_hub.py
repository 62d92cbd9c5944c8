"""Networks are shared through a folder; the hub itself is replaced by one that notes what it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import tdam
import wsol
from tdam.errors import CheckpointError, UserError
from wsol.hub import from_hub, model_card, push_to_hub, save_for_hub
from wsol.opening.trained import BUNDLED

CHECKPOINT = BUNDLED / "minibirds" / "resnet_mini_tdam.safetensors"


def test_a_shared_network_is_the_network(tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8))
    network = from_hub(save_for_hub(CHECKPOINT, tmp_path / "shared"))
    (ours,), (theirs,) = wsol.Localizer("resnet_mini_tdam", CHECKPOINT)(image), wsol.Localizer(network)(image)
    for one, other in zip(ours.steps, theirs.steps, strict=True):
        assert (one.label, one.score, one.box.tolist()) == (other.label, other.score, other.box.tolist())
    assert network.source == "shared as shared"


def test_the_card_says_what_the_checkpoint_says() -> None:
    config = tdam.read_config(CHECKPOINT)
    card = model_card(config, "me/birds")
    _, header, text = card.split("---\n", 2)
    assert yaml.safe_load(header)["library_name"] == "wsol"
    assert f"{config['metrics']['max_box_acc']:.2f}" in text
    assert "on the test split" in text
    assert "Red crowned plain" in text
    assert 'from_hub("me/birds")' in text


def test_names_do_not_become_markup() -> None:
    config = {"model": "m", "num_classes": 1, "dataset": "a|b\n# c", "class_names": ["<b>x</b>", "[l](http://x)"]}
    card = model_card(config)
    assert "| dataset | a&#124;b # c |" in card
    assert "<b>" not in card
    assert "[l](" not in card


def test_a_card_edited_by_hand_stays(tmp_path: Path) -> None:
    save_for_hub(CHECKPOINT, tmp_path)
    (tmp_path / "README.md").write_text("mine")
    save_for_hub(CHECKPOINT, tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_untrained_or_foreign_weights_are_not_shared(tmp_path: Path) -> None:
    model = tdam.create_model("resnet_mini_tdam", num_classes=2)
    tdam.save_checkpoint(model, tmp_path / "new.safetensors", {"model": "resnet_mini_tdam", "num_classes": 2})
    with pytest.raises(CheckpointError, match="untrained"):
        save_for_hub(tmp_path / "new.safetensors", tmp_path / "out")
    torch.save({}, tmp_path / "foreign.pth")
    with pytest.raises(CheckpointError, match="configuration"):
        save_for_hub(tmp_path / "foreign.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_and_a_bad_name_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="save_for_hub"):
        from_hub(tmp_path)
    with pytest.raises(UserError, match="neither a folder nor a repository"):
        from_hub("no/such/thing/at all")


class Hub:
    """Stands for the hub's interface."""

    given: dict[str, Any]

    def create_repo(self, repository: str, **options: Any) -> None:
        Hub.given = {"repository": repository, **options}

    def file_exists(self, repository: str, name: str) -> bool:
        return False

    def upload_folder(self, repo_id: str, folder_path: Path, ignore_patterns: list[str]) -> str:
        Hub.given["files"] = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
        return "address"


def test_an_upload_holds_weights_and_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert push_to_hub(CHECKPOINT, "me/birds", private=True) == "address"
    assert Hub.given["repository"] == "me/birds"
    assert Hub.given["private"] is True
    assert set(Hub.given["files"]) == {"model.safetensors", "README.md"}
    assert Hub.given["files"]["model.safetensors"] == CHECKPOINT.read_bytes()


def test_a_download_takes_the_weights_of_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repository: str, name: str, revision: str | None) -> str:
        asked.append((repository, name, revision))
        return str(CHECKPOINT)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    network = from_hub("me/birds", revision="v1")
    assert asked == [("me/birds", "model.safetensors", "v1")]
    assert (network.name, network.source) == ("resnet_mini_tdam", "shared as me/birds")


def test_a_refusal_of_the_hub_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no connection\nand sixty lines more")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(UserError, match="me/birds") as caught:
        from_hub("me/birds")
    assert "\n" not in str(caught.value)
