"""Every public name says what it is, with an example that runs (`pytest --doctest-modules python/tercel`)."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tercel

PACKAGE = Path(tercel.__file__).parent
MODULES = (
    "tercel",
    "tercel.config",
    "tercel.errors",
    "tercel.evaluation",
    "tercel.merlin",
    "tercel.merlin.io",
    "tercel.merlin.models.tf",
    "tercel.merlin.models.utils.dataset",
    "tercel.merlin.schema",
    "tercel.tf",
    "tercel.tf.data",
    "tercel.tf.keras",
    "tercel.tf.keras.layers",
    "tercel.tf.keras.models",
    "tercel.tf.keras.optimizers",
    "tercel.tfrs",
    "tercel.tfrs.layers.factorized_top_k",
    "tercel.tfrs.metrics",
    "tercel.tfrs.tasks",
)


def public(module: Any) -> Iterator[tuple[str, Any]]:
    """Names in `__all__`; without one, those that the module itself defines."""
    if hasattr(module, "__all__"):
        yield from ((name, getattr(module, name)) for name in module.__all__)
        return
    for name, found in vars(module).items():
        if not name.startswith("_") and getattr(found, "__module__", None) == module.__name__:
            yield name, found


NAMES = [
    pytest.param(name, found, id=f"{module}.{name}")
    for module in MODULES
    for name, found in public(importlib.import_module(module))
]


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Methods and properties that this package wrote, inherited ones too, and `__init__` where it is written out."""
    for base in kind.__mro__:
        if base.__module__.split(".")[0] == "tercel":
            for name, found in vars(base).items():
                written = inspect.isroutine(found) or isinstance(found, (property, classmethod, staticmethod))
                made = name == "__init__" and found.__code__.co_filename == "<string>"  # by @dataclass
                if written and not made and (name == "__init__" or not name.startswith("_")):
                    yield name, found


@pytest.mark.parametrize("module", MODULES)
def test_modules_say_what_they_are(module: str) -> None:
    assert (importlib.import_module(module).__doc__ or "").strip()


@pytest.mark.parametrize(("name", "found"), NAMES)
def test_public_names_have_an_example(name: str, found: Any) -> None:
    if inspect.ismodule(found):
        assert (found.__doc__ or "").strip()
    elif inspect.isclass(found):
        # `inspect.getdoc` would take a base's words for its own.
        words = [found.__doc__ or "", *(member.__doc__ or "" for _, member in members(found))]
        assert (found.__doc__ or "").strip()
        assert any(">>>" in one for one in words), f"{name} has no example"
    elif callable(found):
        assert ">>>" in (found.__doc__ or ""), f"{name} has no example"
    else:
        assert name in described(PACKAGE), f"{name} has no words under it"


@pytest.mark.parametrize(("name", "found"), [one for one in NAMES if inspect.isclass(one.values[1])])
def test_public_methods_say_what_they_do(name: str, found: type) -> None:
    silent = [member for member, value in members(found) if not (value.__doc__ or "").strip()]
    assert silent == [], f"{name}: {', '.join(silent)}"


def described(folder: Path) -> set[str]:
    """Constants with a string under them, which Python itself throws away."""
    found = set()
    for file in folder.rglob("*.py"):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        for this, behind in itertools.pairwise(body):
            says = isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant)
            if says and isinstance(this, (ast.Assign, ast.AnnAssign)):
                targets = this.targets if isinstance(this, ast.Assign) else [this.target]
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def test_examples_run() -> None:
    """As their readers run them, so that nobody has to remember to."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--doctest-modules", str(PACKAGE)]
    done = subprocess.run([*command, "-W", "error"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
