"""TensorFlow Recommenders' API on Tercel: `import tercel.tfrs as tfrs`, with `import tercel.tf as tf`.

A model is traced once with the columns of its dataset to find out what its towers read, and Tercel then trains those
towers. Metrics are computed over the full catalogue.
"""

from __future__ import annotations

from .._absent import absent
from ..tf.data import Dataset
from . import layers, metrics, tasks
from ._model import Model

__all__ = ["Dataset", "Model", "layers", "metrics", "tasks"]
__getattr__ = absent("tercel.tfrs", __all__)
