"""Maps of networks that other people wrote, against the maps that their arithmetic defines."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
import torchvision
from foreign_networks import CLASSES, NETWORKS, FunctionalReLU, MeanOfTokens, build
from torch import nn
from torch.nn.utils import prune

import tdam
import wsol
from wsol.cam import InexactMapWarning
from wsol.networks import NetworkError, structure_of

IMAGES = torch.randn(3, 3, 48, 32, generator=torch.Generator().manual_seed(0))
CLASS_IDS = torch.tensor([4, 0, 2])


def maps_of(network, class_ids=CLASS_IDS):
    with torch.no_grad():
        return network.truth(IMAGES)[torch.arange(3), class_ids]


@pytest.mark.parametrize("kind", NETWORKS)
def test_class_activation_maps_are_those_of_the_definition(kind):
    network = build(kind)
    cams = wsol.class_activation_maps(network, IMAGES, CLASS_IDS)
    torch.testing.assert_close(cams.maps[0], maps_of(network), atol=1e-5, rtol=1e-4)
    assert structure_of(network, (3, 48, 32)).is_exact


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind.__name__ not in ("NormAfterPooling", "Flattened")])
def test_grad_cam_is_the_rectified_map_over_the_number_of_places(kind):
    # Selvaraju et al. (ICCV 2017), section 3.1, wherever a linear layer follows mean pooling.
    network = build(kind)
    grad_cam = wsol.class_activation_maps(network, IMAGES, CLASS_IDS, method="grad-cam").maps[0]
    expected = maps_of(network).relu() / grad_cam[0].numel()
    if kind.__name__ == "MapsOfClasses":
        assert torch.allclose(grad_cam, expected, atol=1e-6)
        return
    torch.testing.assert_close(grad_cam, expected, atol=1e-6, rtol=1e-4)


def test_probabilities_are_traced_back_to_logits():
    network = build(next(kind for kind in NETWORKS if kind.__name__ == "Softmaxed"))
    cams = wsol.class_activation_maps(network, IMAGES)
    torch.testing.assert_close(cams.logits[0].softmax(1), network(IMAGES).detach())
    assert structure_of(network, (3, 48, 32)).activation == "softmax"


def test_an_inexact_map_says_by_how_much():
    class Tanh(FunctionalReLU):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(8, 8)

        def forward(self, x):
            return self.fc((10 * self.hidden(self.features(x).mean((2, 3)))).tanh())

    network = build(Tanh)
    with pytest.warns(InexactMapWarning, match="misses the logit by up to"):
        cams = wsol.class_activation_maps(network, IMAGES, CLASS_IDS)
    # What is left is the gradient of the logit with respect to the pooled features.
    features = network.features(IMAGES).detach()
    pooled = features.mean((2, 3)).requires_grad_()
    logits = network.fc((10 * network.hidden(pooled)).tanh())
    (weights,) = torch.autograd.grad(logits.gather(1, CLASS_IDS[:, None]).sum(), pooled)
    expected = torch.einsum("bdhw,bd->bhw", features, weights)
    torch.testing.assert_close(cams.maps[0], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(16, 16), (4, 4), (40, 24)])
def test_small_and_other_sizes(size):
    network = build(FunctionalReLU)
    images = torch.randn(2, 3, *size)
    cams = wsol.class_activation_maps(network, images, torch.tensor([1, 2]))
    expected = network.truth(images)[torch.arange(2), [1, 2]].detach()
    torch.testing.assert_close(cams.maps[0], expected, atol=1e-5, rtol=1e-4)


def test_a_resnet_whose_last_map_is_one_place():
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=CLASSES).eval()
    assert str(structure_of(network, (3, 32, 32)).feature) == "layer4"
    cams = wsol.class_activation_maps(network, torch.randn(2, 3, 32, 32))
    chosen = cams.logits[0].gather(1, cams.class_ids[0][:, None])[:, 0]
    torch.testing.assert_close(cams.maps[0, :, 0, 0] + network.fc.bias[cams.class_ids[0]].detach(), chosen)


@pytest.mark.parametrize("wrap", ["DataParallel", "compiled", "AveragedModel", "ModelEmaV3", "twice"])
def test_wrappers_change_nothing(wrap):
    from timm.utils import ModelEmaV3

    network = build(MeanOfTokens)
    wrapped = {
        "DataParallel": lambda: nn.DataParallel(network),
        "compiled": lambda: torch.compile(network),
        "AveragedModel": lambda: torch.optim.swa_utils.AveragedModel(network),
        "ModelEmaV3": lambda: ModelEmaV3(network),
        "twice": lambda: torch.compile(nn.DataParallel(network)),
    }[wrap]()
    for method in ("cam", "layer-cam"):
        expected = wsol.class_activation_maps(network, IMAGES, CLASS_IDS, method=method).maps
        torch.testing.assert_close(wsol.class_activation_maps(wrapped, IMAGES, CLASS_IDS, method=method).maps, expected)


@pytest.mark.parametrize("method", ["cam", "grad-cam", "activation"])
@pytest.mark.parametrize("name", ["resnet_mini", "resnet_mini_tdam"])
def test_train_mode_and_statistics_stay(name, method):
    torch.manual_seed(0)
    network = tdam.create_model(name, num_classes=CLASSES).train()
    network.layer4.eval()
    before = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.modules()]
    cams = wsol.class_activation_maps(network, torch.randn(2, 3, 96, 96), CLASS_IDS[:2], method=method)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert not cams.maps.requires_grad


def test_named_layers_take_the_place_of_those_found():
    network = build(FunctionalReLU)
    found = structure_of(network, (3, 48, 32), feature_layer="one")
    assert found.feature_layer == "one"
    maps = wsol.class_activation_maps(network, IMAGES, CLASS_IDS, method="grad-cam", feature_layer="one").maps
    assert maps.shape == (1, 3, 24, 16)
    with pytest.raises(tdam.UnknownNameError, match="feature_layer"):
        wsol.class_activation_maps(network, IMAGES, feature_layer="three")
    with pytest.raises(NetworkError, match="classifier one"):
        wsol.class_activation_maps(network, IMAGES, classifier="one")


def test_a_replaced_head_is_found_anew():
    network = build(FunctionalReLU)
    wsol.class_activation_maps(network, IMAGES, CLASS_IDS)
    network.fc = nn.Linear(8, CLASSES)
    cams = wsol.class_activation_maps(network, IMAGES, CLASS_IDS)
    torch.testing.assert_close(cams.maps[0], maps_of(network), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.full((CLASSES, 8), torch.nan), "fc.weight holds NaN or infinite"),
        (torch.full((CLASSES, 8), -torch.inf), "fc.weight holds NaN or infinite"),
        (torch.ones(CLASSES, 8, dtype=torch.int8), "fc.weight holds int8"),
        (torch.ones(CLASSES, 8, dtype=torch.bool), "fc.weight holds bool"),
    ],
)
def test_weights_that_are_no_finite_numbers_are_refused(weight, message):
    network = build(FunctionalReLU)
    network.fc.weight = nn.Parameter(weight, requires_grad=False)
    for open_it in (wsol.Localizer, lambda model: wsol.class_activation_maps(model, IMAGES)):
        with pytest.raises(NetworkError, match=message):
            open_it(network)


def test_what_is_no_classifier_says_so():
    with pytest.raises(NetworkError, match="not logits"):
        wsol.class_activation_maps(nn.Conv2d(3, 4, 1), IMAGES)
    with pytest.raises(NetworkError, match="does not run on images of 3 x 48 x 32"):
        wsol.class_activation_maps(nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten()), IMAGES)
    with pytest.raises(NetworkError, match="no tensor with rows and columns"):
        wsol.class_activation_maps(
            nn.Sequential(nn.Flatten(), nn.Linear(3 * 48 * 32, 4), nn.ReLU(), nn.Linear(4, 4)), IMAGES
        )


def test_exact_networks_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error", InexactMapWarning)
        wsol.class_activation_maps(build(FunctionalReLU), IMAGES)


def test_gradients_of_the_feature_keep_nothing_before_it():
    # Every tensor that autograd keeps is counted: those of the classifier alone, however deep the network is.
    saved = []

    def keep(tensor):
        saved.append(tensor.numel())
        return tensor

    network = torchvision.models.resnet18(num_classes=6).eval()
    structure_of(network, (3, 48, 32))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        cams = wsol.class_activation_maps(network, IMAGES, CLASS_IDS, method="grad-cam")
    feature = 3 * 512 * 2 * 1
    assert 0 < sum(saved) <= 3 * feature + 6 * 512

    activations = []
    handle = network.layer4.register_forward_hook(lambda module, inputs, output: activations.append(output))
    logits = network(IMAGES)
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[torch.arange(3), CLASS_IDS].sum(), activations)
    expected = (gradient.mean((2, 3), keepdim=True) * activations[0]).sum(1).relu()
    assert torch.equal(cams.maps[0], expected.detach())


@pytest.mark.parametrize("frozen", [False, True])
def test_a_feature_that_goes_on_in_place_has_gradients(frozen):
    class GoesOnInPlace(FunctionalReLU):
        """Goes on with the tensor itself, not with what the function on it returns."""

        def forward(self, x):
            features = 1.0 * self.two(nn.functional.relu(self.one(x)))
            torch.relu_(features)
            return self.fc(features.mean(dim=[2, 3]))

    torch.manual_seed(0)
    network = GoesOnInPlace().eval().requires_grad_(not frozen)
    grad_cam = wsol.class_activation_maps(network, IMAGES, CLASS_IDS, method="grad-cam").maps[0]
    expected = maps_of(network).relu()
    torch.testing.assert_close(grad_cam, expected / expected[0].numel(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("method", ["cam", "nwc"])
@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm", "pruned"])
def test_a_classifier_whose_weight_is_computed_is_exact(kind, method):
    network = build(FunctionalReLU).train()
    if kind == "pruned":
        prune.l1_unstructured(network.fc, "weight", 0.5)
    else:
        getattr(nn.utils.parametrizations, kind)(network.fc)
    before = copy.deepcopy(network.state_dict())
    maps = wsol.class_activation_maps(network, IMAGES, CLASS_IDS, method=method).maps[0]
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    network.eval()
    weight = network.fc.weight.detach().clamp_min(0 if method == "nwc" else -torch.inf)
    expected = torch.einsum("bdhw,bd->bhw", network.features(IMAGES).detach(), weight[CLASS_IDS])
    torch.testing.assert_close(maps, expected, atol=1e-5, rtol=1e-4)
    assert structure_of(network, (3, 48, 32)).is_exact


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-2), (torch.bfloat16, 1e-1), (torch.float64, 1e-5)])
def test_images_are_brought_to_the_type_of_the_weights(dtype, tolerance):
    network = build(FunctionalReLU)
    expected = maps_of(network)
    for method in ("cam", "grad-cam"):
        cams = wsol.class_activation_maps(network.to(dtype), IMAGES, CLASS_IDS, method=method)
        assert cams.maps.dtype == torch.float32
        if method == "cam":
            torch.testing.assert_close(cams.maps[0], expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_what_rounding_leaves_is_exact(dtype):
    assert structure_of(build(FunctionalReLU).to(dtype), (3, 48, 32)).is_exact


@pytest.mark.parametrize("images", [IMAGES[0], IMAGES[:0], IMAGES.byte(), IMAGES.numpy()])
def test_what_is_no_batch_of_images_is_refused(images):
    with pytest.raises(tdam.UserError, match=r"images must be a preprocessed batch \(B, 3, H, W\)"):
        wsol.class_activation_maps(build(FunctionalReLU), images)


def test_new_parameters_of_another_shape_are_found_anew():
    network = build(FunctionalReLU)
    wsol.class_activation_maps(network, IMAGES, CLASS_IDS)
    network.fc.weight, network.fc.bias = nn.Parameter(torch.randn(7, 8)), nn.Parameter(torch.randn(7))
    assert structure_of(network, (3, 48, 32)).num_classes == 7


def test_networks_without_usable_numbers_say_so():
    with torch.inference_mode():
        of_inference = FunctionalReLU().eval()
    lazy = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(CLASSES))
    for network, message in (
        (of_inference, "one.weight was made within torch.inference_mode"),
        (build(FunctionalReLU).to("meta"), "one.weight holds no numbers yet"),
        (lazy, "3.weight holds no numbers yet"),
    ):
        with pytest.raises(NetworkError, match=message):
            wsol.class_activation_maps(network, IMAGES)


def test_a_feature_layer_without_places_is_named():
    with pytest.raises(NetworkError, match=r"feature_layer fc returns \(2, 5\), without rows and columns"):
        structure_of(build(FunctionalReLU), (3, 48, 32), feature_layer="fc")


def test_places_weighed_by_attention_are_read_before_it():
    class AttentionPooling(FunctionalReLU):
        def __init__(self):
            super().__init__()
            self.score = nn.Conv2d(8, 1, 1)

        def forward(self, x):
            features = self.two(self.one(x))
            weights = self.score(features).flatten(2).softmax(2)
            return self.fc((features.flatten(2) * weights).sum(2))

    structure = structure_of(build(AttentionPooling), (3, 48, 32))
    assert structure.feature_layer == "two"
    assert structure.describe().startswith("two (12 x 8) by a way of the network's own to fc: ")


def test_what_random_images_cannot_prove_is_not_called_a_miss():
    class Matrix(FunctionalReLU):
        def forward(self, x):
            return self.features(x).mean((2, 3)) @ self.fc.weight.T

    network = build(Matrix)
    with pytest.warns(InexactMapWarning, match="the logit on random images, which proves nothing"):
        maps = wsol.class_activation_maps(network, IMAGES, CLASS_IDS).maps[0]
    torch.testing.assert_close(maps, maps_of(network), atol=1e-5, rtol=1e-4)
    assert "to the logits: " in structure_of(network, (3, 48, 32)).describe()


def test_a_forward_of_more_than_images_is_told():
    class TwoArguments(FunctionalReLU):
        def forward(self, x, mask):
            return super().forward(x)

    with pytest.raises(NetworkError, match="forward must take a batch of images and nothing more"):
        wsol.class_activation_maps(build(TwoArguments), IMAGES)
