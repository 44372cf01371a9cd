#!/usr/bin/env bash
# Makes python-compat/.venv (or uses the environment in TERCEL_VENV): the package, built here, and a file of requirements.
#   python-compat/install.sh pipeline/requirements.txt
set -euo pipefail
cd "$(dirname "$0")"
venv=${TERCEL_VENV:-.venv}
if ! [ -x "$venv/bin/python" ]; then
    ${PYTHON:-python3} -m venv "$venv" || {
        echo "install.sh: Python's venv module is needed (Debian: apt-get install python3-venv)" >&2
        exit 1
    }
fi
# What is there already takes a second; TERCEL_WHEEL names a wheel that is built.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
    -r "${1:-pipeline/requirements.txt}"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "${TERCEL_WHEEL:-.}"
