"""Where the logits are in what other people's networks return."""

from __future__ import annotations

import pytest
import torch
from foreign_networks import CLASSES, FunctionalReLU
from torch import nn

import wsol
from wsol.networks import NetworkError, structure_of
from wsol.networks.outputs import logits_of

IMAGES = torch.randn(3, 3, 48, 32, generator=torch.Generator().manual_seed(0))
LOGITS = torch.randn(3, CLASSES)
MAPS = torch.randn(3, 8, 4, 4)
BOXES = torch.randn(3, 4)


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        LOGITS[:, :, None, None],
        (LOGITS, BOXES),
        (None, LOGITS),
        (MAPS, LOGITS),
        {"logits": LOGITS, "boxes": BOXES},
        {"out": LOGITS, "maps": MAPS},
    ],
)
def test_logits_are_found(output):
    assert torch.equal(logits_of(output, 3), LOGITS)


def test_an_axis_that_was_squeezed_away_is_put_back():
    assert logits_of(torch.zeros(3), 3).shape == (3, 1)
    assert logits_of(torch.zeros(CLASSES), 1).shape == (1, CLASSES)
    assert logits_of(torch.zeros(()), 1).shape == (1, 1)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"boxes": BOXES, "scores": LOGITS}, "a dict of boxes, scores, .* give these the key 'logits'"),
        (MAPS, "not logits"),
        (None, "returns NoneType, not logits"),
        (torch.zeros(3, CLASSES, dtype=torch.int64), "not logits"),
    ],
)
def test_what_holds_no_logits_says_so(output, message):
    with pytest.raises(NetworkError, match=message):
        logits_of(output, 3)


class Returns(FunctionalReLU):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        pooled = self.features(x).mean((2, 3))
        return self.how(pooled, self.fc(pooled))


@pytest.mark.parametrize(
    "how",
    [lambda pooled, logits: {"scores": logits}, lambda pooled, logits: (logits, pooled), lambda _, out: out.squeeze()],
)
@pytest.mark.parametrize("images", [IMAGES, IMAGES[:1]])
def test_the_map_is_the_same_however_logits_are_returned(how, images):
    torch.manual_seed(0)
    network = Returns(how).eval()
    class_ids = torch.arange(len(images))
    expected = network.truth(images)[class_ids, class_ids].detach()
    for method in ("cam", "grad-cam", "score-cam", "bagcams"):
        maps = wsol.class_activation_maps(network, images, class_ids, method=method).maps[0]
        assert maps.shape == expected.shape
        if method == "cam":
            torch.testing.assert_close(maps, expected, atol=1e-5, rtol=1e-4)


def test_a_single_class_that_is_squeezed_away():
    torch.manual_seed(0)
    network = Returns(lambda _, logits: logits.squeeze(1))
    network.fc = nn.Linear(8, 1)
    cams = wsol.class_activation_maps(network.eval(), IMAGES)
    assert (cams.logits.shape, structure_of(network, (3, 48, 32)).num_classes) == ((1, 3, 1), 1)
    torch.testing.assert_close(cams.maps[0], network.truth(IMAGES)[:, 0].detach(), atol=1e-5, rtol=1e-4)


def test_features_before_logits_are_refused():
    network = Returns(lambda pooled, logits: (pooled, logits)).eval()
    with pytest.raises(
        NetworkError, match=r"features \(2, 8\), which fc makes into logits \(2, 5\): return the logits"
    ):
        wsol.class_activation_maps(network, IMAGES)
