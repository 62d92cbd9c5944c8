#!/usr/bin/env bash
# Lint, types and tests, in an environment of their own.
#
#   bash scripts/test.sh                 # everything
#   bash scripts/test.sh tests/wsol      # options are handed on to pytest
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
environment dev
# One process a core; OpenMP's threads beside them would only wait, and spin while they do.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
exec .venv/bin/python -m pytest --numprocesses "${WSOL_TEST_PROCESSES:-2}" --durations=25 "$@"
