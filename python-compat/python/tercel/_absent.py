"""Errors for names that Merlin, TensorFlow or TensorFlow Recommenders provide and Tercel does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import NotHereError


def absent(module: str, there: list[str]) -> Callable[[str], Any]:
    """Makes a module's `__getattr__`, which raises an error that lists what the module does provide.

    >>> from tercel._absent import absent
    >>> absent("tercel.tf", ["data", "keras"])("random")
    Traceback (most recent call last):
    tercel.errors.NotHereError: tercel.tf has no `random`; it has data, keras (Tercel's README says which scripts run)
    """

    def missing(name: str) -> Any:
        words = f"{module} has no `{name}`; it has {', '.join(there)} (Tercel's README says which scripts run)"
        raise NotHereError(words, field=name)

    return missing
