# Shared by the scripts beside it, which source it; it does nothing when run alone. Sets `root`, the
# checkout, and makes it the working directory, so that every script works from any folder.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# One line of progress, on standard error so that standard output stays the result.
say() { printf '==> %s\n' "$*" >&2; }

# One sentence saying what is wrong and what to do, then the exit code for wrong usage.
usage_error() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 2
}

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Prints the comment at the top of the calling script, which is its manual.
show_help() { awk 'NR > 1 && /^#/ { sub(/^# ?/, ""); print; next } NR > 1 { exit }' "$0"; }

# The value of a text key of a JSON document on standard input. Quotes inside strings are escaped in
# JSON, so `"key": "` can only be the key itself.
json_text() { sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\([^\"]*\)\".*/\1/p" | head -n 1; }

# Takes the argument K/N of an option --part apart, into part_start and part_count.
read_part() {
  [[ ${1:-} =~ ^([0-9]+)/([0-9]+)$ ]] && ((BASH_REMATCH[1] >= 1 && BASH_REMATCH[1] <= BASH_REMATCH[2])) ||
    usage_error "--part takes K/N, such as 1/4, not '${1:-}'"
  part_start=${BASH_REMATCH[1]}
  part_count=${BASH_REMATCH[2]}
}
