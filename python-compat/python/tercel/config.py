"""Settings of models and training: complete configurations and short names."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from . import _core
from .errors import ConfigError, FileError

Config: TypeAlias = "dict[str, Any]"

SETTINGS: dict[str, list[dict[str, Any]]] = json.loads(_core.settings())
"""Every setting of `train`, `ingest`, `evaluate`, `recommend` and `index`.

Of each: its `key` in a configuration file, its `flag` and `short` name where it has them, its `values`, its `default`
(or what becomes of it where it is left `open`), its `doc`, and whether `tune` may search it (`searched`).
"""

SHORT: dict[str, str] = {each["short"]: each["key"] for each in SETTINGS["train"] if each["short"]}
"""Short names, and where they stand in a configuration file."""


def configuration(config: Config | str | os.PathLike[str] | None, settings: Mapping[str, Any]) -> Config:
    """Builds a configuration from a file (TOML or JSON) or a dictionary, overridden by settings passed by short name.

    >>> from tercel.config import configuration
    >>> configuration({"train": {"epochs": 3}}, {"dim": 16, "epochs": 5})
    {'train': {'epochs': 5}, 'model': {'dim': 16}}

    Raises:
        ConfigError: For an unknown short name.
    """
    if config is None:
        merged: Config = {}
    elif isinstance(config, (str, os.PathLike)):
        merged = _read(Path(config))
    else:
        merged = json.loads(json.dumps(config))
    for name, value in settings.items():
        if name not in SHORT:
            known = ", ".join(SHORT)
            raise ConfigError(f"{name}: there is no such setting; there are {known}", field=name)
        if value is None:
            continue
        *path, last = SHORT[name].split(".")
        place = merged
        for word in path:
            place = place.setdefault(word, {})
        place[last] = value
    return merged


def complete(config: Config, shape: Mapping[str, Any]) -> Config:
    """The configuration with every default filled in, for data of this shape (see `Dataset.shape`; missing keys count
    as 0).

    >>> from tercel.config import complete
    >>> complete({}, {"rows": 30_000_000})["train"]["epochs"]
    5
    """
    words = json.dumps(config)
    with settings_of(words):
        filled: Config = json.loads(_core.complete_config(words, json.dumps(dict(shape))))
    return filled


@contextmanager
def settings_of(words: str) -> Iterator[None]:
    """Makes errors name the setting, where the native code only gives a position in the JSON text of the configuration.

    >>> from tercel.config import settings_of
    >>> with settings_of('{"train": {"epochs": "many"}}'):
    ...     raise ConfigError("configuration: a number is needed at line 1 column 27", field="configuration")
    Traceback (most recent call last):
    tercel.errors.ConfigError: train.epochs: a number is needed
    """
    try:
        yield
    except ConfigError as error:
        found = re.fullmatch(r"configuration: (.*) at line 1 column (\d+)", str(error), re.DOTALL)
        if found is None:
            raise
        name, reason = _setting_at(words, int(found[2])), found[1]
        # Some reasons name the setting, and stand where the object around it ends.
        said = re.match(r"(?:\w+\.)*(\w+): ", reason)
        if said is not None:
            reason = reason[said.end() :]
            if f'"{said[1]}":' in words and name.split(".")[-1] != said[1]:
                name = said[1] if name == "configuration" else f"{name}.{said[1]}"
            elif name == "configuration" and (keys := re.findall(r'"(\w+)": ', words[: int(found[2])])):
                name = keys[-1]
        raise ConfigError(f"{name}: {reason}", field=name) from None


def _setting_at(words: str, column: int) -> str:
    path, key = [], ""
    for token in re.finditer(r'"((?:[^"\\]|\\.)*)"(\s*:)?|[{}]', words):
        if token.start() >= column:
            break
        if token[0] == "{":
            path.append(key)
            key = ""
        elif token[0] == "}":
            key = path.pop()
        elif token[2]:
            key = token[1]
    return ".".join(name for name in [*path, key] if name) or "configuration"


def _read(path: Path) -> Config:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}", path=str(path)) from None
    try:
        if path.suffix == ".json":
            found: Config = json.loads(content)
            return found
        if sys.version_info < (3, 11):
            raise ConfigError(f"{path}: TOML needs Python 3.11; give JSON or a dictionary", field="config")
        else:
            import tomllib

            return tomllib.loads(content.decode())
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{path}: {error}", path=str(path), field="config") from None
