#!/usr/bin/env bash
# Tests with the lowest versions that pyproject.toml allows, in an environment of their own.
#
#   bash scripts/test_lowest.sh                  # everything
#   bash scripts/test_lowest.sh tests/tdam       # options are handed on to pytest
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python3}"
environment=.venv-lowest
if [[ ! -f "$environment/.installed" || pyproject.toml -nt "$environment/.installed" ]]; then
    rm -rf "$environment"
    "$python" -m venv "$environment"
    "$environment/bin/python" -m pip install --quiet uv
    # Only what we name ourselves at its lowest; what those need in turn is theirs to say.
    "$environment/bin/uv" pip install --quiet --python "$environment/bin/python" --resolution lowest-direct \
        --editable ".[test]"
    touch "$environment/.installed"
fi
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
exec "$environment/bin/python" -m pytest --numprocesses "${WSOL_TEST_PROCESSES:-2}" "$@"
