"""The parts of TensorFlow's API that two-tower scripts use, for `import tercel.tf as tf`.

Provides optimizers, `StringLookup`, `Embedding`, `Sequential` and datasets of slices. Nothing here computes anything:
these objects describe what Tercel is to compute. If TensorFlow is installed, its own optimizers work as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._absent import absent
from . import data, keras
from ._plan import concat


def constant(value: Any, dtype: Any = None, **_: Any) -> npt.NDArray[Any]:
    """Returns the values as a NumPy array.

    >>> import tercel.tf as tf
    >>> tf.constant(["42"]).shape
    (1,)
    """
    return np.asarray(value, dtype=dtype)


__all__ = ["concat", "constant", "data", "keras"]
__getattr__ = absent("tercel.tf", __all__)
