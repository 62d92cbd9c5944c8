"""Small networks as other people write them, each with the map that its arithmetic defines, worked out by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 5


def conv(inputs: int, outputs: int, stride: int = 2) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1)


class FunctionalReLU(nn.Module):
    """Activation and pooling are functions; no module returns the pooled tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.fc = conv(3, 6), conv(6, 8), nn.Linear(8, CLASSES)

    def features(self, x: Tensor) -> Tensor:
        return F.relu(self.two(F.relu(self.one(x))))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean(dim=[2, 3]))

    def truth(self, x: Tensor) -> Tensor:
        return torch.einsum("bdhw,kd->bkhw", self.features(x), self.fc.weight)


class InPlace(FunctionalReLU):
    """The module's output is rectified in place afterwards, as in torchvision's DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)

    def features(self, x: Tensor) -> Tensor:
        return F.relu(self.two(F.relu(self.one(x), inplace=True)), inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.pool(self.features(x)), 1))


class OneReLUForAll(FunctionalReLU):
    """One activation module serves every layer."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def features(self, x: Tensor) -> Tensor:
        return self.relu(self.two(self.relu(self.one(x))))


class NormAfterPooling(FunctionalReLU):
    """A layer norm of the pooled vector, and a classifier without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(8), nn.Linear(8, CLASSES, bias=False)
        nn.init.uniform_(self.norm.weight, 0.5, 1.5)
        nn.init.uniform_(self.norm.bias, -1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.features(x).mean((2, 3))))

    def truth(self, x: Tensor) -> Tensor:
        features = self.features(x)
        mean = features.mean((2, 3))
        sigma = (mean.var(1, unbiased=False) + self.norm.eps).sqrt()
        scaled = self.fc.weight * self.norm.weight
        scaled = scaled - scaled.mean(1, keepdim=True)
        return torch.einsum("bdhw,kd->bkhw", features, scaled) / sigma[:, None, None, None]


class BatchNormAfterPooling(FunctionalReLU):
    """A batch norm of the pooled vector, as in re-identification."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        nn.init.uniform_(self.norm.weight, 0.5, 1.5)
        nn.init.uniform_(self.norm.running_var, 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.features(x).mean((2, 3))))

    def truth(self, x: Tensor) -> Tensor:
        scale = self.norm.weight / (self.norm.running_var + self.norm.eps).sqrt()
        return torch.einsum("bdhw,kd->bkhw", self.features(x), self.fc.weight * scale)


class Softmaxed(FunctionalReLU):
    """It returns probabilities."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).softmax(1)


class ConvolutionClassifies(FunctionalReLU):
    """A 1x1 convolution on the pooled map."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(8, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.adaptive_avg_pool2d(self.features(x), 1)).flatten(1)

    def truth(self, x: Tensor) -> Tensor:
        return torch.einsum("bdhw,kd->bkhw", self.features(x), self.last.weight[:, :, 0, 0])


class MapsOfClasses(FunctionalReLU):
    """A map of every class, averaged (network in network)."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(8, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.features(x)).mean((2, 3))

    def truth(self, x: Tensor) -> Tensor:
        return self.last(self.features(x))


class Flattened(FunctionalReLU):
    """No pooling: every place has weights of its own (images of 48 x 32)."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8 * 12 * 8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).flatten(1))

    def truth(self, x: Tensor) -> Tensor:
        weight = self.fc.weight.view(CLASSES, 8, 12, 8)
        return torch.einsum("bdhw,kdhw->bkhw", self.features(x), weight) * 12 * 8


class ChannelsLast(FunctionalReLU):
    """Maps of shape (B, h, w, D), as in Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)

    def features(self, x: Tensor) -> Tensor:
        return self.norm(super().features(x).permute(0, 2, 3, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean((1, 2)))

    def truth(self, x: Tensor) -> Tensor:
        return torch.einsum("bhwd,kd->bkhw", self.features(x), self.fc.weight)


class MeanOfTokens(FunctionalReLU):
    """Patch tokens behind a class token that is not pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.cls_token = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.randn(1, 1, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def tokens(self, x: Tensor) -> Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        return self.block(torch.cat([self.cls_token.expand(len(x), -1, -1), patches], 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.tokens(x)[:, 1:].mean(1))

    def truth(self, x: Tensor) -> Tensor:
        maps = torch.einsum("bnd,kd->bkn", self.tokens(x)[:, 1:], self.fc.weight)
        return maps.unflatten(2, (x.shape[2] // 4, x.shape[3] // 4))


class TokenAndMean(MeanOfTokens):
    """The class token and the mean of the patches side by side, as in DINOv2's classifiers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)
        return self.fc(torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1))

    def truth(self, x: Tensor) -> Tensor:
        maps = torch.einsum("bnd,kd->bkn", self.tokens(x)[:, 1:], self.fc.weight[:, 8:])
        return maps.unflatten(2, (x.shape[2] // 4, x.shape[3] // 4))


class TwoHeads(FunctionalReLU):
    """Two classifiers on one pooled vector, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.features(x).mean((2, 3))
        return (self.fc(pooled) + self.other(pooled)) / 2

    def truth(self, x: Tensor) -> Tensor:
        return torch.einsum("bdhw,kd->bkhw", self.features(x), (self.fc.weight + self.other.weight) / 2)


class Named(FunctionalReLU):
    """It returns a mapping, as training code often does."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {"logits": super().forward(x)}


NETWORKS = (
    FunctionalReLU,
    InPlace,
    OneReLUForAll,
    NormAfterPooling,
    BatchNormAfterPooling,
    Softmaxed,
    ConvolutionClassifies,
    MapsOfClasses,
    Flattened,
    ChannelsLast,
    MeanOfTokens,
    TokenAndMean,
    TwoHeads,
    Named,
)


def build(kind: type[FunctionalReLU]) -> FunctionalReLU:
    torch.manual_seed(0)
    return kind().eval()
