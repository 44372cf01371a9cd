"""Checks of settings, made before the native code sees them so that errors name the Python argument."""

from __future__ import annotations

import json
import math
import operator
from typing import Any

import numpy as np

from .errors import ConfigError


def count(field: str, value: int) -> int:
    """Returns a whole number of at least 0.

    Raises:
        ConfigError: For anything else; it names the setting.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise ConfigError(f"{field}: {shown(value)} is not a whole number", field=field) from None
    if not 0 <= number < 2**64:
        raise ConfigError(f"{field}: {number} is not a number from 0", field=field)
    return number


def number(field: str, value: Any) -> float:
    """Returns a number.

    Raises:
        ConfigError: For anything else; it names the setting.
    """
    if isinstance(value, (bool, str, bytes)):
        raise ConfigError(f"{field}: {shown(value)} is not a number", field=field)
    try:
        made = float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{field}: {shown(value)} is not a number", field=field) from None
    if math.isnan(made):
        raise ConfigError(f"{field}: NaN is not a number", field=field)
    return made


def text_of(value: object, field: str) -> str:
    """Returns a string.

    Raises:
        ConfigError: For anything else; it names the setting.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{field}: a text is needed, not {shown(value)}", field=field)
    return str(value)


def several(values: Any, field: str) -> list[Any]:
    """Returns a list of the values of any iterable except a string or bytes.

    Raises:
        ConfigError: For anything else; it names the setting.
    """
    if isinstance(values, (str, bytes)):
        raise ConfigError(f"{field}: a list is needed, not {shown(values)} alone", field=field)
    try:
        return list(values)
    except TypeError:
        raise ConfigError(f"{field}: a list is needed, not {shown(values)}", field=field) from None


def shown(value: object) -> str:
    """A value on one line, shortened if necessary."""
    words = " ".join(repr(value).split())
    return words if len(words) <= 60 else f"{words[:57]}..."


def mapping_of(value: Any, field: str) -> dict[str, Any]:
    """Returns a dictionary.

    Raises:
        ConfigError: For anything else; it names the setting.
    """
    try:
        return dict(value or {})
    except (TypeError, ValueError):
        raise ConfigError(f"{field}: a dictionary is needed, not {shown(value)}", field=field) from None


def as_json(settings: dict[str, Any]) -> str:
    """Converts settings to JSON; NumPy numbers are accepted.

    Raises:
        ConfigError: For a value that cannot be written as JSON; it names the setting.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"{shown(value)} of the type {type(value).__name__} cannot be used")

    parts = []
    for field, value in settings.items():
        try:
            parts.append(f"{json.dumps(field)}: {json.dumps(value, default=plain)}")
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{field}: {error}", field=field) from None
    return "{" + ", ".join(parts) + "}"
