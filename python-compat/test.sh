#!/usr/bin/env bash
# Every test of the Python package and the pipeline, the types, the style and the examples in the documentation.
# The pages are looked at with Chromium (Debian's packages chromium and chromium-driver); Spark needs a Java of version 17
# or newer (default-jre-headless).
set -euo pipefail
cd "$(dirname "$0")"
bash install.sh requirements-test.txt
venv=${TERCEL_VENV:-.venv}
export PYTHONDONTWRITEBYTECODE=1
"$venv/bin/ruff" check .
"$venv/bin/ruff" format --check .
"$venv/bin/mypy"
"$venv/bin/python" -m pytest -n "${TERCEL_TEST_PROCESSES:-2}" --dist loadfile
