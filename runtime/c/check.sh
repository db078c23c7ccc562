#!/usr/bin/env bash
# All that must hold of the C library: the header is true, what is installed is found by CMake and by pkg-config, exports nothing but
# sinew_*, and both examples run, also under AddressSanitizer and UndefinedBehaviorSanitizer.
# Needs cargo, cmake, pkg-config, gcc and g++ (or CC and CXX).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

root=$PWD
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/c
prefix=$target/installed
bundle=$root/examples/bundles/terrain.safetensors
warnings=(-Wall -Wextra -Werror -pedantic)
cc=${CC:-gcc}
cxx=${CXX:-g++}
mkdir -p "$target"

main() {
    step "the header" runtime/c/check-header.sh
    step "build and install" install_library
    step "exported symbols" check_symbols
    step "found by CMake" check_cmake
    step "found by pkg-config" check_pkg_config
    step "sanitizers" check_sanitizers
    printf -- '-- the C library: all is well\n'
}

# Runs a step under a heading. Never in a condition, where a failure would pass unseen.
step() {
    current=$1
    printf -- '-- %s\n' "$current"
    shift
    "$@"
}
trap 'status=$?; [[ $status == 0 ]] || printf -- "-- FAILED: %s\n" "${current:-start}" >&2' EXIT

run_examples() {
    "$1/minimal" "$bundle"
    "$1/control_loop" "$bundle"
}

# Into an empty folder, so that what an earlier version left there is not found.
install_library() {
    rm -rf "$prefix"
    cmake -S runtime/c -B "$target/library" -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib \
        -DSINEW_CARGO_TARGET_DIR="$target/cargo" >/dev/null
    cmake --build "$target/library" --target install >/dev/null
    (cd "$prefix" && find . -type f -printf '%p %s bytes\n' -o -type l -printf '%p -> %l\n' | sort)
}

# Of a shared library all names are global: one that is not ours could stand in for one of the program's.
check_symbols() {
    local exported declared
    exported=$(nm -D --defined-only "$prefix/lib/libsinew.so" | awk '{ print $3 }' | sort)
    declared=$(grep -o '\bsinew_[a-z_]*(' "$prefix/include/sinew.h" | tr -d '(' | sort -u)
    if [[ "$exported" != "$declared" ]]; then
        diff <(printf '%s\n' "$declared") <(printf '%s\n' "$exported") >&2
        return 1
    fi
    printf '%s functions, all declared in sinew.h, and nothing else\n' "$(wc -l <<<"$exported")"
}

check_cmake() {
    local shared
    for shared in OFF ON; do
        rm -rf "$target/by-cmake"
        cmake -S examples/c -B "$target/by-cmake" -DCMAKE_PREFIX_PATH="$prefix" -DBUILD_SHARED_LIBS="$shared" >/dev/null
        cmake --build "$target/by-cmake" >/dev/null
        "$target/by-cmake/minimal_either" "$bundle" >/dev/null
    done
    run_examples "$target/by-cmake"
}

check_pkg_config() {
    local flags
    mkdir -p "$target/by-pkg-config"
    export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
    read -ra flags <<<"$(pkg-config --cflags --libs sinew)"
    "$cc" -std=c11 "${warnings[@]}" examples/c/minimal.c "${flags[@]}" -lm -o "$target/by-pkg-config/minimal"
    "$cxx" -std=c++17 "${warnings[@]}" examples/c/control_loop.cpp "${flags[@]}" -pthread -o "$target/by-pkg-config/control_loop"
    LD_LIBRARY_PATH=$prefix/lib run_examples "$target/by-pkg-config"
    # Both libraries lie in one folder, and the linker prefers the shared one.
    read -ra flags <<<"$(pkg-config --cflags --static --libs sinew | sed 's/-lsinew/-l:libsinew.a/')"
    "$cc" -std=c11 "${warnings[@]}" examples/c/minimal.c "${flags[@]}" -o "$target/by-pkg-config/minimal"
    "$target/by-pkg-config/minimal" "$bundle"
}

# Of the examples; what the library itself reads and writes is checked too with SINEW_SANITIZE_RUST=1, which rustc calls unstable and
# for which it compiles the runtime anew, in minutes.
check_sanitizers() {
    local sanitize out=$target/sanitized library=$prefix/lib/libsinew.a
    if [[ ${SINEW_SANITIZE_RUST:-0} == 1 ]]; then
        local host
        host=$(rustc -vV | sed -n 's/^host: //p')
        RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Zexternal-clangrt" cargo rustc --quiet --locked --package sinew-runtime \
            --features c-api --crate-type staticlib --config profile.dev.opt-level=1 --target "$host" \
            --target-dir "$target/cargo-sanitized"
        library=$target/cargo-sanitized/$host/debug/libsinew_runtime.a
    fi
    mkdir -p "$out"
    sanitize=(-fsanitize=address,undefined -fno-sanitize-recover=all -g -O1 "${warnings[@]}" -Iruntime/include)
    "$cc" -std=c11 "${sanitize[@]}" examples/c/minimal.c "$library" -lpthread -ldl -lm -o "$out/minimal"
    "$cxx" -std=c++17 "${sanitize[@]}" examples/c/control_loop.cpp "$library" -lpthread -ldl -lm -o "$out/control_loop"
    run_examples "$out"
}

main
