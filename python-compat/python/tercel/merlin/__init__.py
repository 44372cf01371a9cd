"""Merlin's API on Tercel, for two-tower scripts: replace `merlin.` with `tercel.merlin.`. The README lists by name what
is supported and what is not.

| Merlin | Tercel |
|---|---|
| `import merlin.models.tf as mm` | `import tercel.merlin.models.tf as mm` |
| `from merlin.io import Dataset` | `from tercel.merlin.io import Dataset` |
| `from merlin.schema import Schema, Tags` | `from tercel.merlin.schema import Schema, Tags` |
| `from merlin.models.utils.dataset import …` | `from tercel.merlin.models.utils.dataset import …` |
| `import tensorflow as tf` | `import tercel.tf as tf` (optimizers), or TensorFlow itself |

Where Tercel deliberately behaves differently from Merlin, a `MerlinDifference` warning says how and why.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from .._warn import warn


class MerlinDifference(UserWarning):
    """Warns that something deliberately differs from Merlin.

    >>> import warnings
    >>> import tercel.merlin.models.tf as mm
    >>> with warnings.catch_warnings(record=True) as said:
    ...     warnings.simplefilter("always")
    ...     block = mm.MLPBlock([64])
    >>> print(str(said[0].message).split(";")[0])
    MLPBlock: the last layer is linear here, as with no_activation_last_layer=True
    """


def differs(words: str) -> None:
    """Warns at the line of the user's script: the innermost caller outside this package."""
    warn(words, MerlinDifference)


def per_user(where: str, theirs: str) -> None:
    """Warns that a metric is not computed like the one that it is named after."""
    differs(
        f"{where}: a user is one row here, and all of its items in the rows that are given count, over the whole "
        f"catalogue; {theirs}. Figures of the same name differ, by a factor of two and more (MRR@10): compare "
        "Tercel's with Tercel's alone"
    )


def strangers(where: str, users: list[str], known: pa.Array) -> list[str]:
    """Warns about users that the model does not know, with their number. If it knows none of them, returns one known
    user to add to the request: a request without any known user would be refused as a mistake.
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
    """Warns about arguments that have no effect here, except those that do not change the result in Merlin either."""
    names = [name for name in given if name not in _HARMLESS and name not in harmless]
    if names:
        differs(f"{where}: {', '.join(names)} has no effect here")


__all__ = ["MerlinDifference"]
