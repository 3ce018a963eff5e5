#!/usr/bin/env bash
# Installs the foreign programs that tests use: the clients that tests/clients runs against the daemon (Rust with
# Debian's crates, Node with two npm packages, Neovim, pynvim), systemd, which checks the units, strace, with which
# tests/faults kills and fails single calls, and fiu-run, with which it fails many at random. Nothing lands in the
# checkout outside of .venv. Without root and apt-get the programs have to be there. What cannot be had is said, and the
# tests that need it skip: the exit code is 0.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/setup.sh"
handicapper_setup '.[dev]' dev

node_dir="$venv/foreign/node"
example="$root/protocol/examples/node/package.json"
declare -A debian=(
    [rust]='rustc cargo librust-rmp-serde-dev librust-serde-derive-dev'
    [node]='nodejs npm'
    [neovim]='neovim'
    [systemd]='systemd'
    [strace]='strace'
    [fiu]='fiu-utils'
)

has() {
    case $1 in
        rust) command -v cargo >/dev/null && command -v rustc >/dev/null && compgen -G '/usr/share/cargo/registry/rmp-serde-*' >/dev/null ;;
        node) command -v node >/dev/null && command -v npm >/dev/null ;;
        neovim) command -v nvim >/dev/null ;;
        systemd) command -v systemd-analyze >/dev/null ;;
        strace) command -v strace >/dev/null ;;
        fiu) command -v fiu-run >/dev/null ;;
        npm) [[ -d "$node_dir/node_modules/neovim" && ! "$example" -nt "$node_dir/package.json" ]] ;;
        pynvim) "$venv/bin/python" -c 'import pynvim' 2>/dev/null ;;
    esac
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=60 "$@" >&2
}

install_programs() {
    local tool missing=()
    for tool in "${!debian[@]}"; do
        has "$tool" || missing+=("$tool")
    done
    ((${#missing[@]})) || return 0
    [[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null || return 0
    apt-get update -qq >&2 || true # an old list may do
    # One by one, so that a package that cannot be had takes no other with it.
    for tool in "${missing[@]}"; do
        # shellcheck disable=SC2086  # the list is words
        apt_install ${debian[$tool]} || true
    done
}

install_packages() {
    if has node && ! has npm; then
        mkdir -p "$node_dir"
        cp "$example" "$node_dir/package.json"
        (cd "$node_dir" && npm install --no-audit --no-fund --silent --fetch-retries=2 neovim@5) >&2 ||
            rm -rf "$node_dir"
    fi
    has pynvim || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check pynvim >&2 || true
}

install_programs
install_packages
for tool in rust node npm neovim pynvim systemd strace fiu; do
    if has "$tool"; then
        echo "foreign programs: $tool is there"
    else
        echo "foreign programs: $tool cannot be had; the tests that need it are skipped"
    fi
done
