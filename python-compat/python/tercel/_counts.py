"""Numbers that count something, checked before the native half refuses them in words of its own."""

from __future__ import annotations

import operator

from .errors import ConfigError


def count(field: str, value: int) -> int:
    """A whole number from 0.

    Raises:
        ConfigError: For anything else; it names the setting.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise ConfigError(f"{field}: {value!r} is not a whole number", field=field) from None
    if not 0 <= number < 2**64:
        raise ConfigError(f"{field}: {number} is not a number from 0", field=field)
    return number
