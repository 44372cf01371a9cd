"""Merlin's words for Tercel, for two-tower scripts: `merlin.` becomes `tercel.merlin.`. What runs and what does not
stands by name in the README.

| Merlin | here |
|---|---|
| `import merlin.models.tf as mm` | `import tercel.merlin.models.tf as mm` |
| `from merlin.io import Dataset` | `from tercel.merlin.io import Dataset` |
| `from merlin.schema import Schema, Tags` | `from tercel.merlin.schema import Schema, Tags` |
| `from merlin.models.utils.dataset import …` | `from tercel.merlin.models.utils.dataset import …` |
| `import tensorflow as tf` | `import tercel.tf as tf` (optimizers), or TensorFlow itself |

Where Tercel does something else than Merlin, and better for it, a `MerlinDifference` warning says what and why.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from .._warn import warn


class MerlinDifference(UserWarning):
    """Something that is not as in Merlin, on purpose.

    >>> import warnings
    >>> import tercel.merlin.models.tf as mm
    >>> with warnings.catch_warnings(record=True) as said:
    ...     warnings.simplefilter("always")
    ...     block = mm.MLPBlock([64])
    >>> print(str(said[0].message).split(";")[0])
    MLPBlock: the last layer is linear here, as with no_activation_last_layer=True
    """


def differs(words: str) -> None:
    """Warns, at the line of the script: the first that is not this package's."""
    warn(words, MerlinDifference)


def per_user(where: str, theirs: str) -> None:
    """Warns that a figure is another one than the name that it is borrowed from has."""
    differs(
        f"{where}: a user is one row here, and all of its items in the rows that are given count, over the whole "
        f"catalogue; {theirs}. Figures of the same name differ, by a factor of two and more (MRR@10): compare "
        "Tercel's with Tercel's alone"
    )


def strangers(where: str, users: list[str], known: pa.Array) -> list[str]:
    """Warns of users that the model does not know, and counts them. Where it knows none of them, answers one that it
    knows: a table of strangers alone is taken for a mistake, unless somebody is asked for with them.
    """
    asked = pa.array(dict.fromkeys(users), pa.large_string())
    unknown = asked.filter(pc.invert(pc.is_in(asked, value_set=known.cast(pa.large_string()))))
    if len(unknown):
        differs(
            f"{where}: {len(unknown)} of {len(asked)} users are unknown to the model (`{unknown[0]}` is the first): "
            "they get what the average user would"
        )
    return [str(known[0])] if len(unknown) == len(asked) and len(known) else []


_HARMLESS = frozenset({"name", "block_name", "run_eagerly", "jit_compile", "trainable", "dtype", "verbose", "steps"})


TRAINING = "shuffle", "validation_batch_size", "validation_steps", "workers", "max_queue_size", "use_multiprocessing"
"""Arguments of Keras's `fit` that are how it does things, not what comes of it."""


def unused(where: str, given: Iterable[str], harmless: Iterable[str] = ()) -> None:
    """Warns of arguments that have no effect here, but for those that change nothing in the result there either."""
    names = [name for name in given if name not in _HARMLESS and name not in harmless]
    if names:
        differs(f"{where}: {', '.join(names)} has no effect here")


__all__ = ["MerlinDifference"]
