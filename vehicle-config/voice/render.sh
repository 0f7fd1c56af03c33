#!/bin/sh
# Renders words.txt into clips/, one Ogg Vorbis file a line, with Debian's espeak-ng. Run it by hand after a change of words.txt
# and commit what it makes; neither the build nor the unit runs it.
#
# usage: vehicle-config/voice/render.sh [FOLDER]     (default: clips beside this script)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/clips}
for program in espeak-ng oggenc; do
    command -v "$program" >/dev/null 2>&1 || {
        echo "render.sh: $program is missing: apt-get install espeak-ng vorbis-tools" >&2
        exit 1
    }
done
mkdir -p "$out"
tab=$(printf '\t')
grep -v -e '^#' -e '^$' "$here/words.txt" | while IFS=$tab read -r word said; do
    name=$(printf '%s' "$word" | tr ' ' '_')
    espeak-ng -v en-gb -s 165 -p 42 -a 180 -w "$out/wave" "${said:-$word}"
    # The serial number is fixed so that the same words give the same bytes.
    oggenc -Q -q 1 --serial 1 --discard-comments -o "$out/$name.ogg" "$out/wave"
done
rm "$out/wave"
du -sh --apparent-size "$out"
