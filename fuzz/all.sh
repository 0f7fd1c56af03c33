#!/bin/sh
# Fuzzes every decoder in turn, for so many seconds each, and tells how often each was run and what came of it.
#
#   fuzz/all.sh 600             every decoder of car and office
#   fuzz/all.sh 60 --office     those that build without the car's parts
#   fuzz/all.sh 60 --only csv   one
#
# Needs `cargo install cargo-fuzz --locked` and the nightly toolchain. What is found lies in fuzz/artifacts/NAME; what was
# learned stays in fuzz/corpus/NAME for the next time. Ends with 1 if something was found.
set -eu
cd "$(dirname "$0")/.."

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

seconds=${1:-}
case $seconds in '' | *[!0-9]*) usage ;; esac
shift
features= only=
while [ $# -gt 0 ]; do
    case $1 in
        --office) features=--no-default-features ;;
        --only) only=${2:-}; [ -n "$only" ] || usage; shift ;;
        *) usage ;;
    esac
    shift
done

# The targets by the manifest: those of the car name the feature that they need.
targets=$(awk -v office="$features" '
    function tell() { if (name != "" && !(needs && office != "")) print name; name = ""; needs = 0 }
    /^\[\[bin\]\]/ { tell() }
    /^name = / && $3 != "\"outrider-fuzz\"" { gsub(/"/, "", $3); name = $3 }
    /^required-features/ { needs = 1 }
    END { tell() }' fuzz/Cargo.toml)
[ -z "$only" ] || targets=$only
total=$(echo "$targets" | wc -w)
echo "building $total fuzz targets; the first time takes minutes" >&2
# shellcheck disable=SC2086
cargo +nightly fuzz build $features ${only:+"$only"} >&2

# Whoever stops this stops what it runs.
trap 'trap - INT TERM; kill 0' INT TERM
number=0 found=0
for target in $targets; do
    number=$((number + 1))
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    log=fuzz/artifacts/$target/log
    start=$(date +%s)
    # shellcheck disable=SC2086
    cargo +nightly fuzz run $features "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        "-max_total_time=$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1 &
    run=$!
    told=$start
    while kill -0 "$run" 2>/dev/null; do
        sleep 1
        now=$(date +%s)
        if [ $((now - told)) -ge 15 ]; then
            told=$now
            times=$(sed -n 's/^#\([0-9]*\).*/\1/p' "$log" | tail -n 1)
            echo "  $number of $total, $target: $((now - start)) of $seconds s, ${times:-0} executions" >&2
        fi
    done
    result=clean
    wait "$run" || { result="FOUND, see $log"; found=1; }
    times=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    [ -n "$times" ] || times=$(sed -n 's/^#\([0-9]*\).*/\1/p' "$log" | tail -n 1)
    printf '%-10s %12s executions in %4s s  %s\n' "$target" "${times:-0}" "$(($(date +%s) - start))" "$result"
done
exit "$found"
