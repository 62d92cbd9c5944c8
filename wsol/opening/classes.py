"""Which output of a network is which class of a dataset.

Both number their classes, each in its own order. Where both name them, names decide; where one of them has numbers
alone, its numbers do; and where that would be a guess, the pair is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tdam.errors import UserError
from wsol.data.benchmarks import imagenet
from wsol.data.ground_truth import GroundTruth
from wsol.opening.trained import TrainedNetwork

SHOWN = 5  # names in a message


class ClassesDifferError(UserError):
    """A network and a dataset whose classes cannot be brought together."""


@dataclass(frozen=True)
class ClassMatch:
    """The network's class for every class of a dataset.

    Attributes:
        numbers: Class of the network for each class of the dataset; -1 for those without images that it does not know.
        names: Names of the network's classes, as far as one of the two knows them.
        note: What a reader of the results should know; "" where both have the same classes in the same order.
    """

    numbers: tuple[int, ...]
    names: tuple[str, ...]
    note: str

    def apply(self, truth: GroundTruth) -> GroundTruth:
        """The ground truth with the network's class numbers."""
        return replace(truth, labels=np.array(self.numbers, dtype=np.int64)[truth.labels], class_names=self.names)


def match_truth(truth: GroundTruth, network: TrainedNetwork) -> ClassMatch:
    """Match the classes of a split with those of a network; see `match_classes`."""
    used = set(truth.labels.tolist())
    return match_classes(truth.class_names, used, network.class_names, network.num_classes, network.source)


def match_classes(
    names: Sequence[str], used: Collection[int], known: Sequence[str] | None, num_classes: int, source: str
) -> ClassMatch:
    """Find the network's class for every class of a dataset.

    Args:
        names: The dataset's class names, in its order.
        used: Numbers of those that have images; only these must be found.
        known: The network's class names; None where its file does not tell them.
        num_classes: Number of classes of the network.
        source: Where its weights come from, for messages.

    Raises:
        ClassesDifferError: If an image's class is none of the network's, or nothing tells which it is.

    >>> match_classes(["mug", "cup"], {0, 1}, ["cup", "mug", "pan"], 3, "file w.safetensors").numbers
    (1, 0)
    """
    named = known if known is not None and not _are_numbers(known) else None
    if named is None and len(names) == num_classes:
        return _in_order(names, source, told=known is not None or _are_numbers(names))
    if named is None and num_classes == len(imagenet.class_names()):
        by_name = _by_name(names, used, imagenet.class_names())
        if by_name is not None:
            return ClassMatch(by_name, imagenet.class_names(), _subset_note("by ImageNet's names", used, num_classes))
    if named is not None:
        by_name = _by_name(names, used, named)
        if by_name is not None:
            same = by_name == tuple(range(num_classes))
            return ClassMatch(by_name, tuple(named), "" if same else _subset_note("by name", used, num_classes))
    if all(_is_number(names[label]) and int(names[label]) < num_classes for label in used):
        numbers = tuple(int(name) if _is_number(name) and int(name) < num_classes else -1 for name in names)
        ours = tuple(named or map(str, range(num_classes)))
        same = len(names) == num_classes and numbers == tuple(range(num_classes))
        return ClassMatch(numbers, ours, "" if same else _subset_note("by number, from 0", used, num_classes))
    raise ClassesDifferError(_refusal(names, used, named, num_classes, source))


def _in_order(names: Sequence[str], source: str, told: bool) -> ClassMatch:
    """Both have as many classes, and the file does not name them."""
    note = "" if told else f"{source} names no classes: its outputs are taken to be {_shown(names)}, in this order"
    return ClassMatch(tuple(range(len(names))), tuple(names), note)


def _by_name(names: Sequence[str], used: Collection[int], known: Sequence[str]) -> tuple[int, ...] | None:
    """The known class for every name; None where one that is used is not found, or two are found to be the same."""
    if tuple(names) == tuple(known):
        return tuple(range(len(known)))  # ImageNet has two classes named crane
    counts = Counter(known)
    exact = {name: number for number, name in enumerate(known) if counts[name] == 1}
    synonyms = _synonyms(known)
    numbers = []
    for label, name in enumerate(names):
        number = exact.get(name, synonyms.get(_plain(name), -1))
        if number < 0 and name == str(label) and not _are_numbers(names) and label < len(known):
            number = label  # one of the classes without images, which have no name in some lists
        numbers.append(number)
    found = [numbers[label] for label in used]
    if -1 in found or len(set(found)) < len(found):
        return None
    return tuple(numbers)


def _synonyms(known: Sequence[str]) -> dict[str, int]:
    """Other spellings of the known names that mean one class alone."""
    spellings = [{_plain(name), *map(_plain, name.split(","))} for name in known]
    if tuple(known) == imagenet.class_names():
        for of_class, wordnet_id in zip(spellings, imagenet.wordnet_ids(), strict=True):
            of_class.add(wordnet_id)
    counts = Counter(spelling for of_class in spellings for spelling in of_class)
    return {
        spelling: number
        for number, of_class in enumerate(spellings)
        for spelling in of_class
        if spelling and counts[spelling] == 1
    }


def _plain(name: str) -> str:
    """A name without case, without CUB's number, and with blanks for ``_`` and ``-``.

    >>> _plain("001.Black_footed_Albatross")
    'black footed albatross'
    """
    text = re.sub(r"^\d+\.", "", unicodedata.normalize("NFKC", name)).casefold()
    return " ".join(text.replace("_", " ").replace("-", " ").split())


def _is_number(name: str) -> bool:
    """Whether a name is a class number, plainly written."""
    return name.isascii() and name.isdecimal() and name == str(int(name))


def _are_numbers(names: Sequence[str]) -> bool:
    """Whether names are the class numbers themselves and so say nothing."""
    return all(name == str(number) for number, name in enumerate(names))


def _subset_note(how: str, used: Collection[int], num_classes: int) -> str:
    return f"{len(used)} of the network's {num_classes} classes, matched {how}; Top-1 and Top-5 are among all of them"


def _shown(names: Sequence[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _refusal(
    names: Sequence[str], used: Collection[int], known: Sequence[str] | None, num_classes: int, source: str
) -> str:
    ours = [names[label] for label in sorted(used)]
    if known is not None:
        spellings = _synonyms(known)
        strange = [name for name in ours if name not in known and _plain(name) not in spellings] or ours
        return (
            f"{source} was trained on the classes {_shown(known)}; the dataset has others: {_shown(strange)}. Give its "
            "classes the network's names, or pass a checkpoint that was trained on this dataset"
        )
    return (
        f"{source} has {num_classes} classes and does not name them, the dataset has {len(names)}: {_shown(names)}. "
        "Pass a checkpoint that was trained on this dataset, or write the names of the network's classes in its order "
        "into dataset.yaml, as the line 'classes: [FIRST, SECOND, …]'"
    )
