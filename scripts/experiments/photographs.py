"""The photographs that experiments share: three datasets, and networks with ImageNet weights for their classes.

    photographs = Photographs(Path("../shared/real"), Path("runs/photographs_pretrained"))
    network = photographs.network("pets3", "tf_efficientnet_lite0")

On `imagenet650`, ILSVRC validation photographs, the networks are used as they are. On `imagenet10` and `pets3` a linear
probe on the frozen network replaces the classifier: multinomial logistic regression on the pooled features of the
training split, labels alone.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch
from torch import Tensor, nn

import tdam
from eval.analysis.baselines import centre_boxes, hits_of_boxes
from eval.analysis.curves import distinct_thresholds
from eval.analysis.object_sizes import object_size_figures
from eval.judging.hits import row_hits
from eval.judging.split import JudgedSplit
from eval.protocols import Protocol, get_protocol
from wsol.data import LocalizationDataset, load_dataset
from wsol.data.transforms import evaluation_transform
from wsol.opening import TrainedNetwork, open_trained
from wsol.sweep import cam_thresholds

ROOT = Path(__file__).parents[2]
WSOLEVALUATION = "wsolevaluation"
PROBE_DECAY = 1e-3


class Photographs:
    """The datasets and the networks that were made for them.

    Args:
        root: Folder that holds imagenet650, imagenet10 and pets3.
        work: Folder for checkpoints and hits.
    """

    def __init__(self, root: Path, work: Path) -> None:
        self.root, self.work = root, work

    def open(self, dataset: str, split: str) -> LocalizationDataset:
        """A split of a dataset."""
        if dataset == "imagenet650":
            return load_dataset("imagenet", split, root=self.root / dataset)
        return load_dataset(self.root / dataset, split)

    def network(self, dataset: str, name: str) -> TrainedNetwork:
        """A network for a dataset's classes; made at first use."""
        original = self.work / f"{name}.safetensors"
        if not original.exists():
            converter().convert(original, name)
        if dataset == "imagenet650":
            return open_trained(name, checkpoint=original, num_classes=1000)
        probed = self.work / f"{name}-{dataset}.safetensors"
        train = self.open(dataset, "train")
        if not probed.exists():
            network = open_trained(name, checkpoint=original)
            probe(network, transformed(train, network, get_protocol(WSOLEVALUATION)), probed)
        return open_trained(name, checkpoint=probed, num_classes=train.ground_truth.num_classes)


def converter() -> Any:
    """The script that makes checkpoints of the packages' weights."""
    path = ROOT / "scripts" / "convert_efficientnet_lite0.py"
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def transformed(dataset: LocalizationDataset, network: TrainedNetwork, protocol: Protocol) -> LocalizationDataset:
    """The dataset as the network wants its images."""
    dataset.transform = evaluation_transform(
        network.input_size,
        mean=network.preprocessing["mean"],
        std=network.preprocessing["std"],
        **protocol.geometry(network.input_size),
    )
    return dataset


@torch.no_grad()
def pooled_features(model: Any, dataset: LocalizationDataset) -> Tensor:
    """Pooled features (N, D) of every image."""
    loader = torch.utils.data.DataLoader(dataset, batch_size=32)
    return torch.cat([model.forward_head(model.forward_features(batch[0]), pre_logits=True) for batch in loader])


def probe(network: TrainedNetwork, dataset: LocalizationDataset, path: Path) -> None:
    """Fit a new classifier on the frozen network's pooled features and write the network with it.

    Args:
        network: The network as it is.
        dataset: Training split, images as the network wants them.
        path: Checkpoint to write.
    """
    truth, model = dataset.ground_truth, network.model
    features, labels = pooled_features(model, dataset), torch.from_numpy(truth.labels)
    layer = nn.Linear(features.shape[1], truth.num_classes)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(layer(features), labels) + PROBE_DECAY * layer.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    probed = timm.create_model(network.name, num_classes=truth.num_classes)
    state = {key: value for key, value in model.state_dict().items() if not key.startswith("classifier.")}
    probed.load_state_dict({**state, **{f"classifier.{key}": value for key, value in layer.state_dict().items()}})
    config = {
        "model": network.name,
        "num_classes": truth.num_classes,
        "model_args": {},
        "dataset": truth.dataset,
        "class_names": list(truth.class_names),
        **{key: list(network.preprocessing[key]) for key in ("input_size", "mean", "std")},
        "trained": True,
    }
    tdam.save_checkpoint(probed, path, config)


def hits_and_sizes(
    judged: JudgedSplit, map_size: tuple[int, int]
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Hits at every distinct threshold, those of the centred boxes, and the figures by object size."""
    records = np.concatenate(list(judged.records()))
    swept, _ = distinct_thresholds(np.unique(records["maximum"]), cam_thresholds())
    found = row_hits(records, 0, swept, judged.protocol)
    height, width = map_size
    boxes = centre_boxes((width, height), judged.protocol.convention)
    truth = judged.ground_truth
    objects = [
        judged.protocol.map_boxes(one, size, (width, height))
        for one, size in zip(truth.boxes, truth.sizes, strict=True)
    ]
    centre = hits_of_boxes(boxes, objects, judged.protocol)
    x0, y0, x1, y1 = boxes[centre.mean(axis=0).argmax()].tolist()
    sizes = object_size_figures(judged, (x0, y0, x1, y1), (width, height), replicates=0)["1"]
    return {**{key: value for key, value in found.items() if "@" in key}, "centre@0.5": centre}, sizes
