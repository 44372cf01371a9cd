"""Runs the flow: `python -m pipeline [--source FOLDER] [--root FOLDER] …`; `--help` lists the parameters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FLOW = Path(__file__).resolve().parent / "flow.py"
COMMANDS = ("run", "resume", "show", "card", "dump", "logs", "check", "output-dot")


def main(arguments: list[str]) -> int:
    """`run` with these arguments, or another of Metaflow's commands; its exit code."""
    environment = os.environ | {
        # A container's root has no name, which Metaflow asks for.
        "METAFLOW_USER": os.environ.get("METAFLOW_USER") or os.environ.get("USER") or "tercel",
        "METAFLOW_DEFAULT_METADATA": "local",
    }
    command = arguments if arguments and arguments[0] in COMMANDS else ["run", *arguments]
    return subprocess.run([sys.executable, str(FLOW), "--no-pylint", *command], env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
