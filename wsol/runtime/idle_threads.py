"""Importing this, before torch, lets OpenMP's waiting threads sleep.

Where other programs use the cores too, or threads of this one decode images, spinning threads slow the work several
times over. OpenMP reads the variable when torch is imported; one that the user has set stays.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
