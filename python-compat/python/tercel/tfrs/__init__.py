"""TensorFlow Recommenders' words for Tercel: `import tercel.tfrs as tfrs`, with `import tercel.tf as tf`.

A model is called once with the columns of its dataset, to see what its towers read; Tercel then trains that. Metrics
are those of the full catalogue.
"""

from __future__ import annotations

from .._absent import absent
from ..tf.data import Dataset
from . import layers, metrics, tasks
from ._model import Model

__all__ = ["Dataset", "Model", "layers", "metrics", "tasks"]
__getattr__ = absent("tercel.tfrs", __all__)
