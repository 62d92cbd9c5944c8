#!/usr/bin/env bash
# Mutation testing of one room (judging, analysis, output or report) in the clone's own environment.
#
#   bash scripts/mutation.sh judging                # every fault
#   bash scripts/mutation.sh judging --sample 200   # some, drawn at random
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
environment dev,mutation
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
exec nice -n 19 .venv/bin/python scripts/mutation.py "$@"
