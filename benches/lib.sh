# What the benches share: pages by difference, processes by pid, both given back. Sourced.
# Whoever sources it calls end_all, then give_back, from its EXIT trap.

sysfs=/sys/kernel/mm/hugepages
declare -A grown=()                       # pages added to each pool, by the pool's directory
declare -A running=()                     # by pid; a pid leaves when it was reaped, as numbers are used again

# A pool belongs to others too: it is changed by difference, never set, and counted without
# the surplus, which writing the number back would make permanent.
persistent() { echo $(($(<"$1/nr_hugepages") - $(<"$1/surplus_hugepages"))); }
pool_add() { echo $(($(persistent "$1") + $2)) >"$1/nr_hugepages"; }

# grow POOL PAGES: false if the kernel gave fewer, which are noted all the same
grow() {
  local before got
  before=$(persistent "$1")
  pool_add "$1" "$2"
  got=$(($(persistent "$1") - before))
  [ $got -le "$2" ] || got=$2             # someone else grew it at the same moment
  [ $got -ge 0 ] || got=0
  grown[$1]=$got
  [ $got = "$2" ]
}

shrink() {                                # POOL: what grow added
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

# until_seen FILE PATTERN PID TENTHS: the pattern is there; false when the process ends or time is up
until_seen() {
  local i
  for ((i = 0; i < $4; i++)); do
    ! grep -qaE "$2" "$1" || return 0
    kill -0 "$3" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
} 2>/dev/null                             # bash's own notice of a child ended by a signal

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
