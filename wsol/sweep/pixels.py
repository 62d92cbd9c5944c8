"""Compiled work on the pixels of one map: its 8-bit form, their order, their earlier neighbours.

Maps have a margin of one pixel all around, so that no neighbour is ever missing.
"""

# numba infers the types of compiled functions, so they go without annotations.
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np

from wsol.sweep.compiling import compiled

BANDS = 8
EDGES = 0b10101010  # the neighbours that share an edge, in `mark_earlier`'s byte


@compiled
def quantize(score_map, values):
    """Write the 8-bit form of a map; False for NaN or a value outside [0, 1]."""
    height, width = score_map.shape
    valid = True
    for y in range(height):
        for x in range(width):
            score = score_map[y, x]
            valid &= (score >= 0.0) & (score <= 1.0)
            values[y, x] = np.uint8(score * 255)
    return valid


@compiled
def add_margin(inside, values):
    """Copy a map into the margin of another array; returns its maximum."""
    height, width = inside.shape
    maximum = np.uint8(0)
    for y in range(height):
        for x in range(width):
            value = inside[y, x]
            values[y + 1, x + 1] = value
            maximum = max(maximum, value)
    return maximum


@compiled
def entry_of(mark, y, x):
    """A pixel in sorted order: its place, and its byte of `mark_earlier`, which is far away in memory at its turn."""
    return np.int64(mark) << 32 | y << 16 | x


@compiled
def read_entry(entry, stride):
    """What `entry_of` holds.

    Returns:
        The byte; ``y << 16 | x``; and the pixel's index in a map with a margin and so many pixels a row.
    """
    place = entry & 0xFFFFFFFF
    return np.uint8(entry >> 32), place, (place >> 16) * stride + (place & 0xFFFF) + stride + 1


@compiled
def sort_pixels(values, marks, order, start):
    """Counting sort: descending value, raster order within a value.

    ``order`` receives `entry_of` every pixel; those of value v are ``order[start[v] : start[v - 1]]``. The map is
    read in bands of rows side by side: neighbours tend to have one value, and each would wait for the
    counter that the last one has just changed.
    """
    height, width = values.shape[0] - 2, values.shape[1] - 2
    rows = height // BANDS
    position = np.zeros((BANDS, 256), np.uint32)
    for y in range(1, rows + 1):
        for x in range(1, width + 1):
            for band in range(BANDS):
                position[band, values[band * rows + y, x]] += 1
    for y in range(BANDS * rows + 1, height + 1):
        for x in range(1, width + 1):
            position[BANDS - 1, values[y, x]] += 1
    total = 0
    for value in range(255, -1, -1):
        start[value] = total
        for band in range(BANDS):
            count = position[band, value]
            position[band, value] = total
            total += count
    for row in range(rows):
        for x in range(width):
            for band in range(BANDS):
                y = band * rows + row
                value = values[y + 1, x + 1]
                order[position[band, value]] = entry_of(marks[y + 1, x + 1], y, x)
                position[band, value] += 1
    for y in range(BANDS * rows, height):
        for x in range(width):
            value = values[y + 1, x + 1]
            order[position[BANDS - 1, value]] = entry_of(marks[y + 1, x + 1], y, x)
            position[BANDS - 1, value] += 1


@compiled
def mark_earlier(values, earlier):
    """Per pixel the byte of the neighbours that come before it in `sort_pixels`' order."""
    height, width = values.shape[0] - 2, values.shape[1] - 2
    for y in range(1, height + 1):
        for x in range(1, width + 1):
            value = values[y, x]
            earlier[y, x] = (
                np.uint8(values[y - 1, x - 1] >= value)
                | np.uint8(values[y - 1, x] >= value) << 1
                | np.uint8(values[y - 1, x + 1] >= value) << 2
                | np.uint8(values[y, x + 1] > value) << 3
                | np.uint8(values[y + 1, x + 1] > value) << 4
                | np.uint8(values[y + 1, x] > value) << 5
                | np.uint8(values[y + 1, x - 1] > value) << 6
                | np.uint8(values[y, x - 1] >= value) << 7
            )
    # The margin comes after every pixel, also after those of its own value 0.
    for x in range(1, width + 1):
        earlier[1, x] &= 0b11111000
        earlier[height, x] &= 0b10001111
    for y in range(1, height + 1):
        earlier[y, 1] &= 0b00111110
        earlier[y, width] &= 0b11100011


@compiled
def collect_values(values, marks, bits, wanted, found, table):
    """Note in a table the values of the pixels of one row whose `bits` of the mark are `wanted`.

    Which pixels these are cannot be foreseen in a map of noise, so every value is written, and those that count stay.
    """
    number = 0
    for x in range(1, values.shape[0] - 1):
        found[np.uint64(number)] = values[x]
        number += np.int64(marks[x] & bits == wanted)
    for i in range(number):
        table[found[i]] = True


@compiled
def find_extrema(values, marks, minima, maxima):
    """Note for each value whether a local minimum has it, by edge neighbours, or a local maximum, by all neighbours.

    What touches the margin is no minimum.

    Returns:
        The value of the highest local minimum, -1 if there is none, and of the lowest local maximum.
    """
    for value in range(256):
        minima[value] = False
        maxima[value] = False
    found = np.empty(values.shape[1], np.uint8)
    for y in range(1, values.shape[0] - 1):
        # Seen for many pixels at once; most rows of a smooth map hold none.
        holds_minimum, holds_maximum = False, False
        for x in range(1, values.shape[1] - 1):
            holds_minimum |= marks[y, x] & EDGES == EDGES
            holds_maximum |= marks[y, x] == 0
        if holds_minimum:
            collect_values(values[y], marks[y], EDGES, EDGES, found, minima)
        if holds_maximum:
            collect_values(values[y], marks[y], 0xFF, 0, found, maxima)
    highest_minimum, lowest_maximum = -1, 255
    for value in range(256):
        if minima[value]:
            highest_minimum = value
        if maxima[255 - value]:
            lowest_maximum = 255 - value
    return highest_minimum, lowest_maximum
