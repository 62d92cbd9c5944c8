# Sourced by the scripts beside it: makes .venv in the clone and installs the project there.
# Does nothing where that is done already. Usage: environment EXTRAS, e.g. environment dev
environment() {
    local extras="$1"
    local stamp=".venv/.installed-${extras:-core}"
    if [[ -f "$stamp" && ! pyproject.toml -nt "$stamp" ]]; then
        return
    fi
    local python="${PYTHON:-python3}"
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "error: Python 3.11 or newer is needed; name it with PYTHON=/path/to/python3.11" >&2
        exit 1
    fi
    [[ -x .venv/bin/python ]] || "$python" -m venv .venv
    echo "Installing into .venv (first time: a few minutes, most of it PyTorch) …"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${extras:+[$extras]}"
    touch "$stamp"
}
