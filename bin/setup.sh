# Sourced by run, test and bench: finds the checkout, makes .venv in it, installs the package (editable).
# Usage: . setup.sh; handicapper_setup REQUIREMENT STAMP     e.g. handicapper_setup '.[dev]' dev

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
venv="$root/.venv"

handicapper_setup() {
    local requirement=$1 stamp="$venv/.handicapper-$2" editable=-e
    # HANDICAPPER_INSTALL=wheel: what users get, compiled, and not what lies in the checkout (see .ci/run, bench).
    if [[ "${HANDICAPPER_INSTALL:-editable}" == wheel ]]; then
        editable='' stamp+=-wheel
    fi
    local -a sources=("$root/pyproject.toml")
    [[ -n "$editable" ]] || sources+=("$root"/{setup.py,actors,protocol,config,bin})
    if [[ ! -x "$venv/bin/python" ]]; then
        "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
            echo "handicapper needs Python 3.11 or newer; name one with PYTHON=/path/to/python" >&2
            return 69
        }
        "${PYTHON:-python3}" -m venv "$venv"
    fi
    if [[ -e "$stamp" && -z "$(find "${sources[@]}" -not -name '*.pyc' -newer "$stamp" -type f -print -quit)" ]] &&
        "$venv/bin/python" -c 'import handicapper.bin.cli' 2>/dev/null; then
        return
    fi
    # On standard error, so that the output of what follows can be piped.
    (cd "$root" && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check $editable "$requirement") >&2
    # One kind of install replaces the other.
    find "$venv" -maxdepth 1 -name '.handicapper-*' $([[ -n "$editable" ]] || echo '!') -name '*-wheel' -delete
    touch "$stamp"
}
