"""The types of arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


Float32 = npt.NDArray[np.float32]


Times = npt.NDArray[np.datetime64]


Objects = npt.NDArray[np.object_]


Flags = npt.NDArray[np.bool_]


Rows = npt.NDArray[np.int64]
