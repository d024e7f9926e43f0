# Sourced by the other scripts: stages (one line each, with seconds; the log in a file) and the tally of tests.
#
#   stages 3                              how many will come
#   stage NAME COMMAND...                 run it; print one line; on failure print the end of its log, and exit
#   soft_stage NAME COMMAND...            the same, but remember the failure and go on: for tests
#   shown_stage NAME COMMAND...           as stage, for a command whose output is what the user came for
#   tally NAME                            add the tests that the stage NAME counted
#   finish                                print the sum of all tests; exit 1 when a soft stage failed

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C.UTF-8
logs=build/logs
mkdir -p "$logs"
jobs=$(nproc)
stage_index=0
failed_stages=()
passed=0
failed=0
# A pipe in which nothing ever arrives: waiting on it sleeps without a child that could outlive us.
exec {idle}<> <(:)

stages() { stage_total=$1; }
has() { [ -e "$1" ]; }
log_of() { echo "$logs/$(basename "$0")-${1// /-}.log"; }
label() { printf '[%d/%d] %s %s' "$stage_index" "$stage_total" "$1" "$(printf '%.0s.' $(seq $((30 - ${#1}))))"; }

# What a running stage is at: ninja's or ctest's own last counter.
position() {
  tail -c 4096 "$1" 2>/dev/null | tr '\r' '\n' |
    grep -aoE '^(\[ *[0-9]+/[0-9]+\]| *[0-9]+/[0-9]+ Test)' | tail -n 1 || true
}

# A terminal gets a moving line; a log gets a line every 30 seconds.
show_progress() {
  local name=$1 log=$2 start=$3 step=30 form='      %s\n'
  [ ! -t 1 ] || step=1 form='\r\033[K      %s'
  while :; do
    read -r -t $step -u "$idle" || true
    # shellcheck disable=SC2059
    printf "$form" "$name: $((SECONDS - start)) s $(position "$log")"
  done
}

# What a failed stage has to say: ctest's failed tests, the last 60 lines of each without those of what went well; else
# the end of its log.
failure_of() {
  if ! grep -qaE '^ *[0-9]+/[0-9]+ Test .*\*\*\*' "$1"; then
    tail -n 60 "$1"
    return
  fi
  awk '
    function show(  i) { for (i = count > 60 ? count - 59 : 1; i <= count; i++) print lines[i]; count = 0 }
    /^ *[0-9]+\/[0-9]+ Test +#/ { show(); failed = /\*\*\*/; if (failed) print; next }
    /^ +Start +[0-9]+: / { show(); failed = 0 }
    /^[0-9]+% tests passed/ { show(); failed = 1 }
    failed && !/^\[ +(OK|RUN) +\]|^\[-+\]|^$/ { lines[++count] = $0 }
    END { show() }' "$1"
}

run_stage() {
  local name=$1 start=$SECONDS status=0 log progress
  shift
  stage_index=$((stage_index + 1))
  log=$(log_of "$name")
  show_progress "$name" "$log" "$start" &
  progress=$!
  "$@" >"$log" 2>&1 </dev/null || status=$?
  kill "$progress"
  wait "$progress" 2>/dev/null || true
  [ ! -t 1 ] || printf '\r\033[K'
  if [ $status = 0 ]; then
    echo "$(label "$name") $((SECONDS - start)) s"
    grep -aE '^deps: warning' "$log" || true
  else
    echo "$(label "$name") FAILED after $((SECONDS - start)) s"
    failure_of "$log" | sed 's/^/    /'
    echo "The whole log: $log"
  fi
  return $status
}

stage() { run_stage "$@" || exit 1; }
soft_stage() { run_stage "$@" || failed_stages+=("$1"); }

shown_stage() {
  local name=$1 start=$SECONDS log
  shift
  stage_index=$((stage_index + 1))
  log=$(log_of "$name")
  echo "[$stage_index/$stage_total] $name"
  if "$@" </dev/null 2>&1 | tee "$log"; then
    echo "$(label "$name") $((SECONDS - start)) s"
  else
    echo "$(label "$name") FAILED after $((SECONDS - start)) s"
    echo "The whole log: $log"
    exit 1
  fi
}

# Reads the closing lines of ctest and pytest, and shows them.
tally() {
  local line
  while read -r line; do
    echo "      $line"
    if [[ $line =~ ([0-9]+)\ tests\ failed\ out\ of\ ([0-9]+) ]]; then
      failed=$((failed + BASH_REMATCH[1]))
      passed=$((passed + BASH_REMATCH[2] - BASH_REMATCH[1]))
      continue
    fi
    if [[ $line =~ ([0-9]+)\ passed ]]; then passed=$((passed + BASH_REMATCH[1])); fi
    if [[ $line =~ ([0-9]+)\ failed ]]; then failed=$((failed + BASH_REMATCH[1])); fi
    if [[ $line =~ ([0-9]+)\ error ]]; then failed=$((failed + BASH_REMATCH[1])); fi
  done < <(grep -aE '^[0-9]+% tests passed, |^(=+ )?[0-9]+ (passed|failed|error).* in [0-9.]+s' "$(log_of "$1")")
}

finish() {
  # A stage can fail before it has counted a test: a green last line must not hide that.
  [ ${#failed_stages[@]} = 0 ] || [ $failed != 0 ] || failed=${#failed_stages[@]}
  [ ${#failed_stages[@]} = 0 ] || echo "Failed: ${failed_stages[*]}"
  echo "$passed $failed" >"$logs/$(basename "$0").tally"
  echo "$passed passed, $failed failed"
  [ ${#failed_stages[@]} = 0 ]
}
