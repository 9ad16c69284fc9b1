# Functions that the benches share: they add pages to pools and start processes, and undo both. The benches source this file
# and call end_all and then give_back from their EXIT trap.

sysfs=/sys/kernel/mm/hugepages
declare -A grown=()                       # pages added to each pool, by the pool's directory
declare -A running=()                     # by pid; removed when the process is reaped, because pids are reused

# Other users share the pool. Pages are therefore added and removed, and the pool is never set to a fixed number. Surplus
# pages are not counted, because writing them back would make them persistent.
persistent() { echo $(($(<"$1/nr_hugepages") - $(<"$1/surplus_hugepages"))); }
pool_add() { echo $(($(persistent "$1") + $2)) >"$1/nr_hugepages"; }

# grow POOL PAGES: fails if the kernel gave fewer pages, which are recorded all the same
grow() {
  local before got
  before=$(persistent "$1")
  pool_add "$1" "$2"
  got=$(($(persistent "$1") - before))
  [ $got -le "$2" ] || got=$2             # another process grew it at the same time
  [ $got -ge 0 ] || got=0
  grown[$1]=$got
  [ $got = "$2" ]
}

shrink() {                                # POOL: removes what grow added
  [ "${grown[$1]:-0}" = 0 ] || pool_add "$1" -"${grown[$1]}"
  unset "grown[$1]"
}

end_all() {
  local p
  for p in "${!running[@]}"; do kill -KILL "$p" 2>/dev/null || true; done
  wait 2>/dev/null || true
}

give_back() {
  local pool
  for pool in "${!grown[@]}"; do shrink "$pool"; done
}

# until_seen FILE PATTERN PID TENTHS: waits for the pattern; fails if the process ends or the time is up
until_seen() {
  local i
  for ((i = 0; i < $4; i++)); do
    ! grep -qaE "$2" "$1" || return 0
    kill -0 "$3" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
} 2>/dev/null                             # hides bash's message about a child that a signal ended

stop() { # PID SIGNAL; sets rc
  local i
  kill "-$2" "$1" 2>/dev/null || true
  for i in {1..50}; do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
  kill -KILL "$1" 2>/dev/null || true
  rc=0; wait "$1" || rc=$?
  unset "running[$1]"
} 2>/dev/null

remove_group() {                          # a process may take a moment to leave it
  local i
  for i in {1..20}; do
    [ -d "$1" ] || return 0
    rmdir "$1" 2>/dev/null || { sleep 0.1; continue; }
  done
}
