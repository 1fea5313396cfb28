#!/bin/sh
# Sets up what this bundle holds. Unpack the bundle first (tar -xf), then:
#
#   sh setup.sh            install it into Forebay's store, if Forebay is here; else as below, into ./files
#   sh setup.sh FOLDER     lay out its files in FOLDER, with nothing but this shell and zstd
#
# Run again, it goes on where it stopped.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
if [ $# -eq 0 ] && command -v forebay >/dev/null 2>&1; then
    exec forebay bundle install "$here"
fi

target=${1:-$here/files}
tab=$(printf '\t')
part=$target/.part # not beside the file: its name may be as long as names can be
rm -f -- "$part" # objects are read-only, and so is what a copy that was cut leaves
done=0
missing=0

say() { printf 'setup: %s\n' "$1" >&2; }

check() { # FILE DIGEST: compare where b3sum is here; zstd itself finds most damage, cp none
    if command -v b3sum >/dev/null 2>&1 && [ "$(b3sum --no-names <"$1")" != "$2" ]; then
        say "damaged: object $2"
        exit 1
    fi
}

while IFS=$tab read -r digest path; do
    case $path in
    '' | /* | .. | ../* | */.. | */../*)
        say "refused: $path leads elsewhere"
        exit 1
        ;;
    esac
    rest=${digest#??}
    from=$here/objects/${digest%"$rest"}/$rest
    to=$target/$path
    if [ -e "$to" ]; then
        done=$((done + 1))
        continue
    fi
    if [ ! -f "$from" ] && [ ! -f "$from.zst" ]; then
        missing=$((missing + 1)) # a delta leaves out what an earlier bundle has
        continue
    fi
    mkdir -p -- "$(dirname -- "$to")"
    if [ -f "$from" ]; then
        cp -- "$from" "$part"
    else
        zstd -q -d -c -- "$from.zst" >"$part"
    fi
    check "$part" "$digest"
    mv -- "$part" "$to"
    done=$((done + 1))
done <"$here/FILES.tsv"

say "$done files are in $target"
if [ "$missing" -gt 0 ]; then
    say "$missing files are not in this bundle: it is a delta, set up the earlier one into the same folder"
    exit 1
fi
