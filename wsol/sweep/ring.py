"""What a pixel does to its neighbours' components, looked up by the 8 neighbours already present.

Pixels enter one after the other. The neighbours of a pixel that entered before it are a byte with one
bit per neighbour, clockwise from the north-west::

    0 1 2
    7 . 3
    6 5 4
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OFFSETS = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))  # (dy, dx) of bit 0 … 7
_BLOCKS = ((7, 0, 1), (1, 2, 3), (3, 4, 5), (5, 6, 7))  # the other three pixels of the four 2×2 blocks


def neighbour_groups(connectivity: int) -> list[list[int]]:
    """For each of the 256 bytes, one neighbour of every group the pixel joins.

    Args:
        connectivity: 8: neighbours touch each other and the pixel by edge or corner. 4: by edge only.

    Returns:
        Per byte the bits that stand for the groups, in ascending order.
    """

    def touch(a: int, b: int) -> bool:
        dy, dx = (abs(OFFSETS[a][axis] - OFFSETS[b][axis]) for axis in (0, 1))
        return max(dy, dx) == 1 if connectivity == 8 else dy + dx == 1

    table = []
    for byte in range(256):
        rest = [bit for bit in range(8) if byte >> bit & 1]
        representatives = []
        while rest:
            group = [rest.pop(0)]
            for member in group:
                near = [bit for bit in rest if touch(member, bit)]
                group += near
                rest = [bit for bit in rest if bit not in near]
            joined = group if connectivity == 8 else [bit for bit in group if bit % 2]
            if joined:
                representatives.append(min(joined))
        table.append(sorted(representatives))
    return table


def group_tables(connectivity: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """`neighbour_groups` as arrays: their number ``(256,)``, and ``dy`` and ``dx`` ``(256, 4)`` of each."""
    number = np.zeros(256, dtype=np.uint8)
    offsets = np.zeros((2, 256, 4), dtype=np.int64)
    for byte, bits in enumerate(neighbour_groups(connectivity)):
        number[byte] = len(bits)
        offsets[:, byte, : len(bits)] = np.array([OFFSETS[bit] for bit in bits], dtype=np.int64).reshape(-1, 2).T
    return number, offsets[0], offsets[1]


def area_table() -> NDArray[np.int32]:
    """Twice the area that a pixel adds to its component's outer contour, ``(256,)``.

    The shoelace area through pixel centres of a component without holes (`cv2.contourArea`) is 1 per
    2×2 block of four pixels and 1/2 per block of three; so a pixel adds 1/2 for each of its four
    blocks in which it is the third or the fourth.
    """
    return np.array(
        [sum(sum(byte >> bit & 1 for bit in block) >= 2 for block in _BLOCKS) for byte in range(256)],
        dtype=np.int32,
    )


def euler_table() -> NDArray[np.int32]:
    """What a pixel adds to the Euler number of a 4-connected component, ``(256,)``.

    The number is 1 minus the number of islands in the component: pixels, minus pairs of edge neighbours,
    plus 2×2 blocks of four pixels.
    """
    return np.array(
        [
            1
            - sum(byte >> bit & 1 for bit in (1, 3, 5, 7))
            + sum(all(byte >> b & 1 for b in block) for block in _BLOCKS)
            for byte in range(256)
        ],
        dtype=np.int32,
    )
