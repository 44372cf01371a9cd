"""The corners of TensorFlow's interface that two-tower scripts touch, for `import tercel.tf as tf`.

Optimizers, `StringLookup`, `Embedding`, `Sequential` and datasets of slices. Nothing here computes: everything says
what Tercel is to compute. Where TensorFlow is installed its own optimizers work as well.
"""

from __future__ import annotations

from . import data, keras
from ._plan import concat

__all__ = ["concat", "data", "keras"]
