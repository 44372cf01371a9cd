"""Names that Merlin, TensorFlow or TensorFlow Recommenders have and Tercel has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import NotHereError


def absent(module: str, there: list[str]) -> Callable[[str], Any]:
    """A module's `__getattr__`: says what is there, and where it stands what runs.

    >>> from tercel._absent import absent
    >>> absent("tercel.tf", ["data", "keras"])("random")
    Traceback (most recent call last):
    tercel.errors.NotHereError: tercel.tf has no `random`; it has data, keras (Tercel's README says which scripts run)
    """

    def missing(name: str) -> Any:
        words = f"{module} has no `{name}`; it has {', '.join(there)} (Tercel's README says which scripts run)"
        raise NotHereError(words, field=name)

    return missing
