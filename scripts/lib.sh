# Sourced by the other scripts: stages (one line each, with seconds; the log in a file) and the tally of tests.
#
#   stages 3                              how many will come
#   stage NAME COMMAND...                 run it; print one line; on failure print the end of its log, and exit
#   soft_stage NAME COMMAND...            the same, but remember the failure and go on: for tests
#   finish                                exit 1 when a soft stage failed

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C.UTF-8
logs=build/logs
mkdir -p "$logs"
jobs=$(nproc)
stage_index=0
failed_stages=()

stages() { stage_total=$1; }

# What a running stage is at: ninja's or ctest's own last counter.
stage_position() {
  tail -c 4096 "$1" 2>/dev/null | tr '\r' '\n' |
    grep -oE '^(\[ *[0-9]+/[0-9]+\]| *[0-9]+/[0-9]+ Test)' | tail -n 1 || true
}

# A terminal gets a moving line; a log gets a line every 30 seconds.
show_progress() {
  local name=$1 log=$2 start=$3 step=30
  [ -t 1 ] && step=1
  while sleep $step; do
    local text="$name: $((SECONDS - start)) s $(stage_position "$log")"
    if [ -t 1 ]; then printf '\r\033[K      %s' "$text"; else printf '      %s\n' "$text"; fi
  done
}

stage_label() { printf '[%d/%d] %s ' "$stage_index" "$stage_total" "$1"; printf '%.0s.' $(seq $((30 - ${#1}))); }

run_stage() {
  local name=$1 log start=$SECONDS status=0
  shift
  stage_index=$((stage_index + 1))
  log=$logs/$(basename "$0")-${name// /-}.log
  show_progress "$name" "$log" "$start" &
  local progress=$!
  "$@" >"$log" 2>&1 </dev/null || status=$?
  kill "$progress" 2>/dev/null
  wait "$progress" 2>/dev/null || true
  [ -t 1 ] && printf '\r\033[K'
  if [ $status = 0 ]; then
    printf '%s %d s\n' "$(stage_label "$name")" $((SECONDS - start))
    grep -E '^deps: warning' "$log" || true
  else
    printf '%s FAILED after %d s\n' "$(stage_label "$name")" $((SECONDS - start))
    tail -n 60 "$log" | sed 's/^/    /'
    printf 'The whole log: %s\n' "$log"
  fi
  return $status
}

stage() { run_stage "$@" || exit 1; }
soft_stage() { run_stage "$@" || failed_stages+=("$1"); }
has() { [ -e "$1" ]; }

passed=0
failed=0
# tally LOG: adds the closing lines of ctest and pytest in LOG, and shows them.
tally() {
  local line total
  while read -r line; do
    echo "      $line"
    if [[ $line =~ ([0-9]+)\ tests\ failed\ out\ of\ ([0-9]+) ]]; then
      failed=$((failed + BASH_REMATCH[1]))
      passed=$((passed + BASH_REMATCH[2] - BASH_REMATCH[1]))
    else
      [[ $line =~ ([0-9]+)\ passed ]] && passed=$((passed + BASH_REMATCH[1]))
      [[ $line =~ ([0-9]+)\ (failed|error) ]] && failed=$((failed + BASH_REMATCH[1]))
    fi
  done < <(grep -aE '^[0-9]+% tests passed, |^(=+ )?[0-9]+ (passed|failed|error).* in [0-9.]+s' "$1")
}

finish() {
  # A stage can fail before it has counted a test: a green last line must not hide that.
  [ ${#failed_stages[@]} = 0 ] || [ $failed != 0 ] || failed=${#failed_stages[@]}
  [ ${#failed_stages[@]} = 0 ] || printf 'Failed: %s\n' "${failed_stages[*]}"
  echo "$passed $failed" >"$logs/$(basename "$0").tally"
  echo "$passed passed, $failed failed"
  [ ${#failed_stages[@]} = 0 ]
}
