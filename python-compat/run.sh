#!/usr/bin/env bash
# The whole night on the data that ships with Tercel: files -> warehouse -> training -> tests -> recommendations, a store
# for them, and a page to look at. Builds the package and installs what it needs into python-compat/.venv.
#   python-compat/run.sh [--source FOLDER] [--root FOLDER] …       python-compat/run.sh --help lists them
set -euo pipefail
cd "$(dirname "$0")"
bash install.sh pipeline/requirements.txt
exec "${TERCEL_VENV:-.venv}/bin/python" -m pipeline "$@"
