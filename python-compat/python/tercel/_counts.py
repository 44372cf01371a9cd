"""Settings, checked before the native half refuses them in words of its own."""

from __future__ import annotations

import json
import math
import operator
from typing import Any

import numpy as np

from .errors import ConfigError


def count(field: str, value: int) -> int:
    """A whole number from 0.

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
    """A number.

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
    """A text.

    Raises:
        ConfigError: For anything else; it names the setting.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{field}: a text is needed, not {shown(value)}", field=field)
    return str(value)


def several(values: Any, field: str) -> list[Any]:
    """A list of anything that can be iterated over, but for a text or bytes.

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
    """A value in words of one line."""
    words = " ".join(repr(value).split())
    return words if len(words) <= 60 else f"{words[:57]}..."


def mapping_of(value: Any, field: str) -> dict[str, Any]:
    """A dictionary.

    Raises:
        ConfigError: For anything else; it names the setting.
    """
    try:
        return dict(value or {})
    except (TypeError, ValueError):
        raise ConfigError(f"{field}: a dictionary is needed, not {shown(value)}", field=field) from None


def as_json(settings: dict[str, Any]) -> str:
    """Settings as JSON; NumPy's numbers are numbers.

    Raises:
        ConfigError: For a value that JSON does not have; it names the setting.
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
