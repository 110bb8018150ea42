"""The arrays of this room: scores and masks, both ``(m, k)`` like the weights they are about."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating[Any]]
"""Saliency of each weight; not negative, larger is kept longer."""
Mask = NDArray[np.bool_]
"""True where a weight is kept."""
