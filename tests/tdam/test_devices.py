from __future__ import annotations

import pytest
import torch

from tdam.devices import open_device
from tdam.errors import UsageError, UserError


def test_devices_that_are_here() -> None:
    assert open_device("cpu") == torch.device("cpu")
    assert open_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cpu cuda"])
def test_a_device_that_does_not_exist_is_wrong_use(name: str) -> None:
    with pytest.raises(UsageError, match=r"unknown device .*; examples: cpu, cuda, cuda:0"):
        open_device(name)


@pytest.mark.parametrize("name", ["cuda:77", "xla", "mps:3", "meta", "vulkan", "privateuseone"])
def test_a_device_that_is_not_here_is_named(name: str) -> None:
    with pytest.raises(UserError, match=f"device '{name}'"):
        open_device(name)
