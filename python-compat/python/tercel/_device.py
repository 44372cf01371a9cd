"""Choosing the device that computations run on."""

from __future__ import annotations

from . import _core
from ._counts import text_of


def device_for(device: str = "auto") -> tuple[str, str]:
    """The device that `auto`, `cpu` or `cuda:N` selects on this host, and the reason.

    >>> import tercel
    >>> tercel.device_for("cpu")[0]
    'cpu'

    Raises:
        ConfigError: For any other name.
        DeviceError: If a CUDA device is requested but cannot be used.
    """
    return _core.device_for(text_of(device, "device"))
