"""The class that a number or a name means."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tdam.errors import UserError
from wsol.class_names import number_of_class

NAMES = ["tench", "tabby, tabby cat", "crane", "7", "crane"]


@pytest.mark.parametrize(
    ("wanted", "number"),
    [(2, 2), (np.int64(2), 2), (torch.tensor(2), 2), ("2", 2), ("tench", 0), ("Tabby", 1), ("tabby cat", 1), ("7", 3)],
)
def test_a_class_by_number_or_name(wanted, number):
    assert number_of_class(wanted, NAMES, 5, "net") == number


@pytest.mark.parametrize(
    ("wanted", "names", "message"),
    [
        ("crane", NAMES, r"class 'crane' may be 2 \(crane\), 4 \(crane\): give the number"),
        ("tabbi", NAMES, "unknown class 'tabbi'; valid: tabby, tabby cat"),
        ("²", NAMES, "unknown class '²'"),
        ("mug", None, "net has no class names: give the number of class 'mug'"),
        (5, NAMES, "net has classes 0 to 4, not 5"),
        ("-1", None, "net has classes 0 to 4, not -1"),
        (1.5, NAMES, "a class is given by number or name, not as 1.5"),
        (True, NAMES, "not as True"),
        ([1], NAMES, r"not as \[1\]"),
    ],
)
def test_what_is_no_class_or_several(wanted, names, message):
    with pytest.raises(UserError, match=message):
        number_of_class(wanted, names, 5, "net")
