"""Merlin's words for Tercel. A two-tower script needs only its imports changed: `merlin.` becomes `tercel.merlin.`.

| Merlin | here |
|---|---|
| `import merlin.models.tf as mm` | `import tercel.merlin.models.tf as mm` |
| `from merlin.io import Dataset` | `from tercel.merlin.io import Dataset` |
| `from merlin.schema import Schema, Tags` | `from tercel.merlin.schema import Schema, Tags` |
| `from merlin.models.utils.dataset import unique_rows_by_features` | `from tercel.merlin.models.utils.dataset import …` |
| `import tensorflow as tf` | `import tercel.tf as tf` (optimizers), or TensorFlow itself |

Where Tercel does something else than Merlin, and better for it, a `MerlinDifference` warning says what and why.
"""

from __future__ import annotations

import warnings


class MerlinDifference(UserWarning):
    """Something that is not as in Merlin, on purpose."""


def differs(words: str) -> None:
    """Warns, at the line of the script."""
    warnings.warn(words, MerlinDifference, stacklevel=3)


__all__ = ["MerlinDifference"]
