#!/usr/bin/env bash
# Evaluates the bundled TDAM network and its plain twin on minibirds, and draws what they look at.
#
#   bash scripts/demo.sh                # all 1,000 test images
#   bash scripts/demo.sh --limit 100    # options are handed on to wsol-eval
#
# Needs Python 3.11 and pip, nothing else. Results: runs/demo/
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
environment ""
exec .venv/bin/python scripts/demo.py "$@"
