"""The networks that the page offers, and what one of them says of an image."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from PIL import Image

from tdam.errors import UserError, check_name
from wsol.boxes import boxes_from_score_map, scale_boxes
from wsol.class_names import readable_name, short_label
from wsol.data.minibirds import render_image
from wsol.localization import Localization, StepLocalization
from wsol.localizer import Localizer
from wsol.maps import MapMethod, find_method, map_methods
from wsol.opening import TrainedNetwork, open_trained
from wsol.opening.trained import BUNDLED

EXAMPLES: Final = (2, 1, 3, 0, 5, 7)
"""Images of minibirds' test split on the page; in the first, step 2 finds more of the bird than step 1."""

LOW_CONFIDENCE: Final = 0.7
"""Probability below which the page says that the network is not sure."""

MOST_CLASSES_NAMED: Final = 24


@dataclass(frozen=True)
class Offer:
    """One network of the page.

    Attributes:
        model: Its registered name.
        checkpoint: File of its weights; None finds trained ones.
        trained_on: Where the weights come from, without any folder of this machine.
    """

    model: str
    checkpoint: Path | None
    trained_on: str


class Networks:
    """Networks the page offers, opened when they are first asked for.

    Args:
        model: A network to offer beside the bundled ones.
        checkpoint: Its weights.

    Raises:
        UserError: If that network cannot be opened, or there is none at all.
    """

    def __init__(self, model: str | None = None, checkpoint: Path | None = None) -> None:
        bundled = sorted(BUNDLED.glob("*/*.safetensors"), key=lambda path: ("tdam" not in path.stem, path.stem))
        self._offers = {
            f"{path.stem} ({path.parent.name})": Offer(
                path.stem, path, f"bundled with wsol, trained on {path.parent.name}"
            )
            for path in bundled
        }
        self._opened: dict[str, TrainedNetwork] = {}
        self._methods: dict[str, list[str]] = {}
        if model is not None:
            source = f"weights of {checkpoint.name}" if checkpoint else ""
            self._offers = {model: Offer(model, checkpoint, source), **self._offers}
            self.open(model)
        if not self._offers:
            raise UserError("no bundled weights found: name a network with --model and its --checkpoint")

    @property
    def names(self) -> list[str]:
        """Names to choose from: the user's own network first, then those with top-down attention."""
        return list(self._offers)

    def open(self, name: str) -> TrainedNetwork:
        """The network of a name.

        Raises:
            UnknownNameError: If it is not offered.
        """
        check_name("network", name, self.names)
        if name not in self._opened:
            self._opened[name] = open_trained(self._offers[name].model, checkpoint=self._offers[name].checkpoint)
        return self._opened[name]

    def methods(self, name: str) -> list[str]:
        """Map methods that work for a network, "cam" first.

        Those that ask for a property of the network, such as the attention of a transformer, are tried on an image, and
        so are those of one forward pass. The others work wherever a network has a layer with a map.
        """
        if name not in self._methods:
            network = self.open(name)
            self._methods[name] = [method for method in map_methods() if _works(network, method)]
        return self._methods[name]

    def source(self, name: str) -> str:
        """Where the weights come from."""
        return self._offers[name].trained_on or self.open(name).source

    def localize(
        self,
        name: str,
        image: Image.Image,
        method: str | Sequence[str] = "cam",
        threshold: float = 0.2,
        class_id: int | None = None,
    ) -> Localization:
        """Localize one image.

        Args:
            name: One of `names`.
            image: RGB image.
            method: Map method, or several.
            threshold: Share of each map's maximum, in [0, 1).
            class_id: The class whose maps are wanted; None takes each step's own top class.

        Returns:
            What the network sees at every step.

        Raises:
            UserError: If the network or the method is unknown.
        """
        (found,) = Localizer(self.open(name), method=method, threshold=threshold)(image, class_id=class_id)
        return found

    def knows(self, name: str) -> str:
        """What the network can tell apart: the classes where they are few, their number otherwise."""
        network = self.open(name)
        if network.class_names is None:
            return f"{network.num_classes} classes without names"
        if network.num_classes > MOST_CLASSES_NAMED:
            return f"{network.num_classes} classes, such as {short_label(network.class_names[0])}"
        return f"{network.num_classes} classes: " + ", ".join(readable_name(label) for label in network.class_names)


def _works(network: TrainedNetwork, name: str) -> bool:
    method = find_method(name)
    if method.cost != MapMethod.cost and not method.needs - {"gradients"}:
        return True
    try:
        Localizer(network, method=name)(example_image(EXAMPLES[0]))
    except UserError:
        return False
    return True


def at_threshold(found: Localization, threshold: float) -> Localization:
    """The same maps with the boxes of another threshold.

    Args:
        found: A localization.
        threshold: Share of each map's maximum, in [0, 1).
    """

    def moved(steps: Sequence[StepLocalization]) -> tuple[StepLocalization, ...]:
        return tuple(_at_threshold(step, threshold, found.image_size) for step in steps)

    by_method = {name: moved(steps) for name, steps in found.by_method.items()}
    return replace(found, steps=moved(found.steps), by_method=by_method)


def _at_threshold(step: StepLocalization, threshold: float, image_size: tuple[int, int]) -> StepLocalization:
    height, width = step.score_map.shape
    (box,) = boxes_from_score_map(step.score_map, threshold)
    return replace(step, box=scale_boxes(box, (width, height), image_size), threshold=threshold)


def example_image(index: int) -> Image.Image:
    """Image `index` of minibirds' test split."""
    return Image.open(io.BytesIO(render_image("test", index).jpeg)).convert("RGB")
