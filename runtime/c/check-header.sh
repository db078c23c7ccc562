#!/usr/bin/env bash
# Whether include/sinew.h says what src/c_api says; with --write, makes it so.
# Needs cbindgen, of exactly this version, as another one may write the same in other words: in the path, in $CBINDGEN, or installed
# once to $CARGO_TARGET_DIR/cbindgen.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=0.29.4
target=${CARGO_TARGET_DIR:-$PWD/../target}

is_wanted() {
    [[ "$("$1" --version 2>/dev/null)" == "cbindgen $version" ]]
}

cbindgen=${CBINDGEN:-cbindgen}
if ! is_wanted "$cbindgen"; then
    cbindgen=$target/cbindgen/bin/cbindgen
    if ! is_wanted "$cbindgen"; then
        cargo install cbindgen --version "$version" --locked --quiet --debug --root "$target/cbindgen"
    fi
fi

written=$(mktemp)
trap 'rm -f "$written"' EXIT
"$cbindgen" --quiet --config cbindgen.toml --output "$written" .

if [[ ${1:-} == --write ]]; then
    cp "$written" include/sinew.h
    chmod 644 include/sinew.h
elif ! diff -u include/sinew.h "$written"; then
    echo "include/sinew.h is not what src/c_api says: run runtime/c/check-header.sh --write" >&2
    exit 1
else
    echo "include/sinew.h is what src/c_api says"
fi
