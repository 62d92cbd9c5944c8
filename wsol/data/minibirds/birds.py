"""The pictures of minibirds: a scene with one or two birds, their exact boxes and masks.

Everything is painted as polygons (`wsol.data.minibirds.canvas`). A pixel belongs to a bird if the bird covers
more than half of it after everything in front of it.

The class is given by two small parts, crown colour and wing bar. Body colour, beak, pose, size
and scene say nothing about it, and berries, petals and splinters in the parts' own colours
lie in the scene, so that colour alone says nothing either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from wsol.data.minibirds.canvas import Layer, Points, ellipse, rotation, stroke

TWO_BIRDS = 0.15
CUT_BY_BORDER = 0.05
BEHIND_TWIG = 0.35
MARGIN = 0.03  # distance that a bird keeps from the border and from the other, share of the picture
LENGTH_ALONE = (0.52, 0.92)  # longer side of a bird's box, share of the picture
LENGTH_OF_TWO = (0.34, 0.48)

CROWN_COLOURS = {
    "Red": (205, 35, 35),
    "Yellow": (235, 200, 40),
    "Blue": (45, 85, 215),
    "White": (240, 240, 235),
}
WING_BARS: dict[str, tuple[int, int, int] | None] = {
    "plain": None,
    "pale_barred": (245, 245, 238),
    "dark_barred": (26, 24, 26),
}
BODY_COLOURS = np.array(
    [
        (120, 90, 60), (135, 130, 120), (95, 105, 60), (160, 125, 85),
        (85, 80, 85), (110, 120, 135), (150, 140, 100), (90, 65, 50),
    ],
    dtype=np.float64,
)  # fmt: skip
BEAK_COLOURS = np.array([(240, 140, 30), (45, 40, 40), (225, 215, 190)], dtype=np.float64)
SCENES = np.array(
    [
        [(38, 70, 26), (112, 150, 62)],  # foliage
        [(70, 55, 36), (152, 126, 86)],  # forest floor
        [(128, 163, 200), (216, 226, 236)],  # sky
        [(92, 92, 88), (172, 166, 156)],  # rock
        [(58, 90, 92), (132, 166, 152)],  # water
        [(120, 100, 42), (202, 182, 98)],  # dry grass
    ],
    dtype=np.float64,
)  # dark and light colour of each


@dataclass(frozen=True)
class Scene:
    """A drawn picture.

    Attributes:
        image: (size, size, 3) uint8 RGB.
        masks: For each bird (size, size) bool, what is visible of it.
    """

    image: np.ndarray
    masks: tuple[np.ndarray, ...]

    @property
    def boxes(self) -> list[tuple[int, int, int, int]]:
        """``x, y, width, height`` of the visible pixels of each bird."""
        return [box_of(mask) for mask in self.masks]


@dataclass(frozen=True)
class Bird:
    """A bird's shape in its own frame: unit about half a body, origin mid-body, x to the beak, y down.

    Attributes:
        parts: Polygons by name, in the order they are painted.
        feet: Where it stands.
    """

    parts: dict[str, Points]
    feet: Points

    def extent(self) -> tuple[Points, Points]:
        """Smallest and largest x and y."""
        points = np.concatenate(list(self.parts.values()))
        return points.min(axis=0), points.max(axis=0)

    def transformed(self, matrix: np.ndarray, shift: Points) -> Bird:
        """The bird with every point p at ``matrix @ p + shift``."""
        moved = {name: points @ matrix.T + shift for name, points in self.parts.items()}
        return Bird(moved, self.feet @ matrix.T + shift)


def draw_scene(generator: Generator, label: int, size: int) -> Scene:
    """Draw a picture of class `label`.

    Args:
        generator: Source of every choice.
        label: 0 … 11: crown colour ``label % 4``, wing bar ``label // 4``.
        size: Side of the picture in pixels.
    """
    image = _background(generator, size)
    birds = _place(generator, [_bird(generator) for _ in range(1 + (generator.random() < TWO_BIRDS))], size)
    image = _clutter(generator, birds, size).over(image)
    twig = _foreground_twig(generator, size)
    in_front = twig.coverage()
    masks = []
    for bird in birds:
        layer = _painted(generator, bird, label, size)
        image = layer.over(image, _plumage_shade(generator, size))
        masks.append(layer.coverage() * (1 - in_front) > 0.5)
    image = _photographed(generator, twig.over(image))
    return Scene(image, tuple(masks))


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """``x, y, width, height`` of the true pixels of `mask` (H, W), which has at least one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def _noise(generator: Generator, size: int, cells: tuple[int, ...], channels: int, decay: float) -> np.ndarray:
    """(size, size, channels) float32 about 0: smooth noise with the given cells per side."""
    total = np.zeros((size, size, channels), dtype=np.float32)
    for octave, n in enumerate(cells):
        grid = generator.random((n + 1, n + 1, channels), dtype=np.float32) - 0.5
        smooth = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
        total += smooth.reshape(size, size, channels) * decay**octave
    return total


def _background(generator: Generator, size: int) -> np.ndarray:
    dark, light = SCENES[generator.integers(len(SCENES))]
    tone = _noise(generator, size, (3, 6, 12, 24, 48), 1, decay=0.72)
    fall = np.linspace(-0.5, 0.5, size, dtype=np.float32)[:, None, None] * generator.uniform(-0.5, 0.5)
    mix = np.clip(0.5 + 0.75 * tone + fall, 0, 1)
    tint = _noise(generator, size, (4, 9), 3, decay=0.8) * 24
    return (dark * (1 - mix) + light * mix + tint).astype(np.float32)


def _bird(generator: Generator) -> Bird:
    """A bird in a random pose, proportions and facing."""
    between = generator.uniform
    a, b = between(0.85, 1.05), between(0.46, 0.6)
    head = np.array([a * between(0.78, 0.95), -b * between(0.9, 1.2)])
    r = between(0.31, 0.38)
    tail, droop, beak = between(0.7, 1.25), between(-0.12, 0.2), between(0.25, 0.42)
    wing_turn, stride, leg = between(0.02, 0.28), between(-0.08, 0.1), between(0.3, 0.48)
    bar = -a * between(0.2, 0.32)
    back, tip = np.array([-a * 0.55, 0.02]), np.array([-a - tail, droop])
    far_foot, near_foot = np.array([-0.1 + stride, b + leg]), np.array([0.2 + stride, b + leg])
    parts = {
        "tail": np.array(
            [_at(back, 0, -0.16), _at(tip, 0, -0.06), _at(tip, 0.1, 0.04), _at(tip, 0, 0.14), _at(back, 0, 0.2)]
        ),
        "far_leg": stroke(np.array([-0.08, b * 0.7]), far_foot, 0.075),
        "near_leg": stroke(np.array([0.2, b * 0.7]), near_foot, 0.075),
        "body": ellipse(np.zeros(2), a, b, -0.12),
        "neck": np.array(
            [_at(head, -r * 0.9, r * 0.3), (a * 0.25, -b * 0.75), (a * 0.9, b * 0.15), _at(head, r * 0.85, r * 0.4)]
        ),
        "belly": ellipse(np.array([a * 0.18, b * 0.42]), a * 0.72, b * 0.62, -0.12),
        "head": ellipse(head, r * 1.06, r),
        "wing": _wing(np.array([-a * 0.2, -b * 0.05]), a * 0.74, b * 0.52, wing_turn),
        "bar": np.array([(bar - 0.1, -b), (bar + 0.1, -b), (bar + 0.02, b), (bar - 0.18, b)]),
        "beak": np.array([_at(head, r * 0.85, -0.1), _at(head, r + beak, 0.04), _at(head, r * 0.85, 0.14)]),
        "crown": ellipse(_at(head, -r * 0.12, -r * 0.45), r * 0.98, r * 0.6, -0.12),
        "eye": ellipse(_at(head, r * 0.34, r * 0.02), 0.075, 0.075, n=12),
    }  # fmt: skip
    matrix = np.diag([generator.choice([-1.0, 1.0]), 1.0]) @ rotation(-between(-0.35, 0.45))
    return Bird(parts, (far_foot + near_foot) / 2).transformed(matrix, np.zeros(2))


def _at(origin: Points, dx: float, dy: float) -> Points:
    """The point `dx` to the right of `origin` and `dy` below it."""
    return origin + np.array([dx, dy])


def _wing(shoulder: Points, a: float, b: float, turn: float) -> Points:
    """A drop: round at the shoulder, pointed towards the tail."""
    angle = np.arange(28) * (2 * math.pi / 28)
    pinch = np.where(np.cos(angle) < 0, np.abs(np.sin(angle)) ** 0.6, 1.0)
    drop = np.stack([a * np.cos(angle) * np.where(np.cos(angle) < 0, 1.15, 1.0), b * np.sin(angle) * pinch], axis=1)
    return drop @ rotation(-turn).T + shoulder


def _place(generator: Generator, birds: list[Bird], size: int) -> list[Bird]:
    """Scale birds and move them to free places, inside the picture but for the few the border cuts."""
    margin = MARGIN * size
    taken: list[np.ndarray] = []
    placed = []
    for bird in birds:
        low, high = bird.extent()
        length = generator.uniform(*(LENGTH_ALONE if len(birds) == 1 else LENGTH_OF_TWO)) * size
        while True:
            scale = length / (high - low).max()
            extent = (high - low) * scale
            corner = margin + generator.random(2) * (size - 2 * margin - extent)
            box = np.concatenate([corner - margin / 2, corner + extent + margin / 2])
            if not any(_overlap(box, other) for other in taken):
                break
            length *= 0.99  # the smaller, the sooner a place is free
        if len(birds) == 1 and generator.random() < CUT_BY_BORDER:
            corner = _pushed_out(generator, bird, corner, extent, size)
        taken.append(box)
        placed.append(bird.transformed(np.eye(2) * scale, corner - low * scale))
    return placed


def _overlap(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two boxes ``x0 y0 x1 y1`` overlap."""
    return bool((one[:2] < other[2:]).all() and (other[:2] < one[2:]).all())


def _pushed_out(generator: Generator, bird: Bird, corner: Points, extent: Points, size: int) -> Points:
    """Move a bird so that the border on its tail's side cuts up to a fifth of it."""
    hidden = generator.uniform(0.02, 0.2) * extent[0]
    faces_right = bird.parts["beak"][:, 0].mean() > bird.parts["tail"][:, 0].mean()
    return np.array([-hidden if faces_right else size - extent[0] + hidden, corner[1]])


def _painted(generator: Generator, bird: Bird, label: int, size: int) -> Layer:
    """The bird on a layer of its own."""
    between = generator.uniform
    crown = np.array(list(CROWN_COLOURS.values())[label % len(CROWN_COLOURS)]) * between(0.85, 1.08)
    bar = list(WING_BARS.values())[label // len(CROWN_COLOURS)]
    body = BODY_COLOURS[generator.integers(len(BODY_COLOURS))] * between(0.8, 1.2) + generator.normal(0, 8, 3)
    pale = generator.random() < 0.6
    belly = body * 0.45 + np.array([215, 205, 185]) * 0.55 if pale else body * between(0.85, 1.15)
    legs = np.array([90, 65, 45]) * between(0.6, 1.3)
    beak = BEAK_COLOURS[generator.integers(len(BEAK_COLOURS))] * between(0.85, 1.05)

    layer = Layer(size)
    layer.paint(bird.parts["tail"], body * between(0.5, 0.9))
    layer.paint(bird.parts["far_leg"], legs * 0.8)
    layer.paint(bird.parts["near_leg"], legs)
    trunk = layer.paint(bird.parts["body"], body)
    layer.paint(bird.parts["neck"], body)
    layer.paint(bird.parts["belly"], belly, within=trunk)
    layer.paint(bird.parts["beak"], beak)
    head = layer.paint(bird.parts["head"], body)
    wing = layer.paint(bird.parts["wing"], body * between(0.6, 0.88))
    if bar is not None:
        layer.paint(bird.parts["bar"], np.array(bar) * between(0.9, 1.03), within=wing)
    layer.paint(bird.parts["crown"], crown, within=head)
    layer.paint(bird.parts["eye"], np.array([15, 12, 12]))
    return layer


def _plumage_shade(generator: Generator, size: int) -> np.ndarray:
    """(size, size, 1): fine feather texture, lit from above."""
    light = np.linspace(1.08, 0.9, size, dtype=np.float32)[:, None, None]
    return light * (1 + 0.3 * _noise(generator, size, (size // 6, size // 3), 1, decay=0.9))


def _clutter(generator: Generator, birds: list[Bird], size: int) -> Layer:
    """Branches, perches, and small things in the colours of the birds' parts."""
    layer = Layer(size)
    for _ in range(generator.integers(2, 9)):
        start = generator.random(2) * size
        reach = rotation(generator.uniform(0, 2 * math.pi))[:, 0] * size * generator.uniform(0.2, 1.2)
        scene = SCENES[generator.integers(len(SCENES)), generator.integers(2)]
        colour = scene * generator.uniform(0.5, 1.1) + generator.normal(0, 10, 3)
        width = generator.uniform(0.008, 0.045) * size
        layer.paint(stroke(start, start + reach, width, width * generator.uniform(0.2, 1)), colour)
    for bird in birds:
        if generator.random() < 0.7:
            _perch(generator, layer, bird)
    bars = [colour for colour in WING_BARS.values() if colour is not None]
    colours = np.concatenate([list(CROWN_COLOURS.values())] * 2 + [bars, BEAK_COLOURS, BODY_COLOURS])
    for _ in range(generator.poisson(6)):
        colour = colours[generator.integers(len(colours))] * generator.uniform(0.75, 1.08)
        _small_thing(generator, layer, generator.random(2) * size, size * generator.uniform(0.02, 0.06), colour)
    return layer


def _perch(generator: Generator, layer: Layer, bird: Bird) -> None:
    reach = rotation(generator.uniform(-0.35, 0.35))[:, 0] * layer.size * generator.uniform(0.3, 1.2)
    width = generator.uniform(0.02, 0.05) * layer.size
    bark = np.array([96, 74, 52]) * generator.uniform(0.55, 1.4)
    middle = _at(bird.feet, 0, width / 2)
    layer.paint(stroke(middle - reach * generator.random(), middle + reach, width, width * 0.5), bark)


def _small_thing(generator: Generator, layer: Layer, at: Points, radius: float, colour: np.ndarray) -> None:
    """A berry, a leaf, a flower or a splinter."""
    turn = generator.uniform(0, 2 * math.pi)
    kind = generator.integers(4)
    if kind == 0:
        layer.paint(ellipse(at, radius, radius), colour)
        layer.paint(ellipse(at - radius * 0.35, radius * 0.3, radius * 0.3, n=10), colour * 0.5 + 125)
    elif kind == 1:
        layer.paint(ellipse(at, radius * 1.5, radius * generator.uniform(0.4, 0.8), turn), colour)
    elif kind == 2:
        for petal in range(5):
            out = rotation(turn + petal * 2 * math.pi / 5)[:, 0] * radius * 0.8
            layer.paint(ellipse(at + out, radius * 0.6, radius * 0.4, turn + petal * 2 * math.pi / 5), colour)
        layer.paint(ellipse(at, radius * 0.35, radius * 0.35, n=12), colour * 0.4 + 20)
    else:
        along = rotation(turn)[:, 0] * radius * generator.uniform(1.2, 2.5)
        layer.paint(stroke(at - along, at + along, radius * generator.uniform(0.5, 0.9)), colour)


def _foreground_twig(generator: Generator, size: int) -> Layer:
    """A layer that is empty, or holds a thin twig across the picture, in front of the birds."""
    layer = Layer(size)
    if generator.random() < BEHIND_TWIG:
        through = generator.random(2) * size
        along = rotation(generator.uniform(0, math.pi))[:, 0] * size * 1.5
        width = generator.uniform(0.01, 0.03) * size
        colour = np.array([70, 55, 35]) * generator.uniform(0.5, 1.6)
        layer.paint(stroke(through - along, through + along, width, width * 0.7), colour)
    return layer


def _photographed(generator: Generator, image: np.ndarray) -> np.ndarray:
    """Exposure, white balance, blur and sensor noise of a small camera; float32 to uint8."""
    exposure = generator.uniform(0.78, 1.14) * generator.normal(1, 0.03, 3)
    image = cv2.GaussianBlur(image * exposure.astype(np.float32), (0, 0), generator.uniform(0.3, 0.6))
    grain = generator.standard_normal(image.shape, dtype=np.float32) * np.float32(generator.uniform(2, 7))
    return np.clip(np.round(image + grain), 0, 255).astype(np.uint8)
