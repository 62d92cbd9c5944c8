"""A component's box in one 64-bit number, which grows without a branch.

Its four lanes of 16 bits are, from the lowest: the last column, the last row, and what is left to `LARGEST` of the
first column and of the first row. So each lane is the greater, the larger the box, and the box around two boxes is the
greater of each lane. Which of two lanes is greater cannot be foreseen where a map is noise: a processor that has to
guess loses more time than all of this arithmetic takes.
"""

# numba infers the types of compiled functions, so they go without annotations.
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np

from wsol.sweep.compiling import compiled

LARGEST = 0x7FFF  # of a coordinate; the highest bit of a lane stays free
LANE = np.uint64(LARGEST)
PAIR = np.uint64(0x7FFF_7FFF)
FREE_BITS = np.uint64(0x8000_8000_8000_8000)
TO_BOTTOM, TO_LOWEST, TO_LEFT, TO_TOP = np.uint64(16), np.uint64(15), np.uint64(32), np.uint64(48)


@compiled
def box_of_pixel(place):
    """The box of one pixel; ``place`` is ``y << 16 | x``, unsigned."""
    return (PAIR - place) << TO_LEFT | place


@compiled
def around(one, other):
    """The box around two boxes."""
    is_greater = ((one | FREE_BITS) - other) & FREE_BITS
    lanes = is_greater - (is_greater >> TO_LOWEST)
    return other ^ ((one ^ other) & lanes)


@compiled
def left(box):
    """First column."""
    return np.int64(LANE - (box >> TO_LEFT & LANE))


@compiled
def top(box):
    """First row."""
    return np.int64(LANE - (box >> TO_TOP))


@compiled
def right(box):
    """Last column."""
    return np.int64(box & LANE)


@compiled
def bottom(box):
    """Last row."""
    return np.int64(box >> TO_BOTTOM & LANE)
