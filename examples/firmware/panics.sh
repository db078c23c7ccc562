#!/usr/bin/env bash
# That nothing that a robot calls can panic or allocate: `total` links only if link-time optimisation has removed its panic handler,
# which is so only if no code reaches it. Where it does not link, it is linked with an address for the missing function, and every call
# of a panic is listed with the lines of ours that lead to it. Arguments go to `cargo build`.
set -euo pipefail
cd "$(dirname "$0")"

missing=something_that_a_robot_calls_can_panic
target=thumbv7em-none-eabihf
folder="${CARGO_TARGET_DIR:-target}/$target/release"

if cargo build --release --bin total "$@"; then
    names=$(arm-none-eabi-nm -C "$folder/total")
    echo "total: $(grep -c ' [tT] ' <<<"$names") functions, and with the handler of panics missing they link: none of them can panic"
    if grep -iE 'panic|unwrap_failed|expect_failed|alloc::|rust_alloc|__rg_|malloc' <<<"$names"; then
        echo "but for these names, which must not be there" >&2
        exit 1
    fi
    echo "total: no symbol of a panic, no symbol of an allocator"
    exit 0
fi

echo "== where the panics are" >&2
CARGO_PROFILE_RELEASE_DEBUG=2 CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/panics" cargo build --quiet --release --bin total \
    --config "target.$target.rustflags=['-Clink-arg=--defsym=$missing=0']" "$@"
total="${CARGO_TARGET_DIR:-target}/panics/$target/release/total"
# A call of a function of core that only panics, from a function that does more than that.
arm-none-eabi-objdump -d -C --no-show-raw-insn "$total" | awk '
    /^[0-9a-f]+ <.*>:$/ { within = $0 }
    / <.*(panicking::|slice_index_fail|len_mismatch_fail|unwrap_failed|expect_failed)/ &&
        $2 ~ /^b/ && within !~ /panicking|_fail/ { sub(":", "", $1); print $1 }' |
    while read -r address; do
        lines=$(arm-none-eabi-addr2line -i -f -C -e "$total" "0x$address" |
            grep -oE '(runtime|models|firmware)/src/[a-z_0-9/]+\.rs:[0-9?]+' || true)
        sed -e ':join' -e N -e '$!b join' -e 's/\n/ from /g' <<<"${lines:-core, from an unknown line}"
    done | sort | uniq -c >&2
exit 1
