"""Which classes a dataset of one's own has, and in what order."""

from __future__ import annotations

from collections.abc import Collection

from wsol.data.errors import DatasetError
from wsol.data.ground_truth import MOST_CLASSES


def class_names(names: Collection[str]) -> tuple[str, ...]:
    """The classes of a dataset in the order of their numbers.

    Names that are the numbers 0, 1, 2, … without a gap are the classes' numbers and keep their order. All others are
    names and are sorted as text, as torchvision's ImageFolder does: ``00000`` and ``3017`` say nothing of an order.

    >>> class_names({"10", "2"})
    ('10', '2')
    >>> class_names({str(number) for number in range(11)})[9:]
    ('9', '10')
    """
    numbers = tuple(map(str, range(len(names))))
    return numbers if set(numbers) == set(names) else tuple(sorted(names))


def classes_from_description(classes: object, where: str) -> tuple[str, ...] | None:
    """The key ``classes`` of a ``dataset.yaml``: a list of names, or the number of classes named 0, 1, 2, ….

    Raises:
        DatasetError: If it is neither.
    """
    if classes is None:
        return None
    if isinstance(classes, int) and not isinstance(classes, bool):
        if not 0 < classes <= MOST_CLASSES:
            raise DatasetError(f"{where}: 'classes' is {classes}, not between 1 and {MOST_CLASSES:,}")
        return tuple(map(str, range(classes)))
    if not isinstance(classes, list) or not classes or len(set(map(str, classes))) < len(classes):
        raise DatasetError(f"{where}: 'classes' must be a list of different names, or a number of classes")
    return tuple(map(str, classes))
