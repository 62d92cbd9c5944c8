"""Published weights come from this machine's cache where they are there, and their absence is one line at once."""

from __future__ import annotations

import socket
from pathlib import Path

import huggingface_hub.constants
import pytest
import safetensors.torch
import timm
import torch

import tdam
from tdam.errors import UserError

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache on a machine without a network."""

    def unplugged(*arguments: object, **options: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", unplugged)
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return tmp_path


@pytest.mark.parametrize("offline", [True, False])
def test_without_a_network_the_mend_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch, offline: bool) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    with pytest.raises(UserError, match=r"published weights of resnet18 .* cannot be reached.*--checkpoint") as raised:
        tdam.create_model("resnet18", pretrained=True)
    assert "\n" not in str(raised.value)


def test_weights_in_the_cache_need_no_network(cache: Path) -> None:
    torch.manual_seed(3)
    source = timm.create_model("resnet18")
    folder = cache / "models--timm--resnet18.a1_in1k"
    (folder / "snapshots" / REVISION).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(REVISION)
    safetensors.torch.save_file(source.state_dict(), folder / "snapshots" / REVISION / "model.safetensors")
    model = tdam.create_model("resnet18", num_classes=5, pretrained=True)
    assert model.num_classes == 5
    assert torch.equal(model.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
