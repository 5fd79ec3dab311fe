# Sourced by the other scripts: goes to the root of the repository and times steps.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# step NAME COMMAND...: runs the command and prints its minutes, also when it fails.
# With MINUTES set, the line goes to that file too, for the summary of a whole run.
step() {
  local name=$1 start=$SECONDS code=0 line
  shift
  printf '\n== %s\n' "$name"
  "$@" || code=$?
  line=$(awk -v name="$name" -v s=$((SECONDS - start)) -v code="$code" \
    'BEGIN { printf "%-28s %5.1f min%s", name, s / 60, code ? "  FAILED" : "" }')
  printf -- '-- %s\n' "$line"
  if [ -n "${MINUTES:-}" ]; then printf '%s\n' "$line" >>"$MINUTES"; fi
  return "$code"
}
