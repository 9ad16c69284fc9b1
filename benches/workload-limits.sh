#!/usr/bin/env bash
# Measures the limits that real workloads need: testpmd (net_virtio_user -> net_vhost) and QEMU
# (iPXE in a guest of 16 MiB -> net_vhost). Runs each step at the smallest value that works and just
# below it. Prints one row per step, marks with "!" each row that differs from
# docs/reference/workloads.md, and exits 1 if there is one. Takes about three and a half minutes.
#
# Needs root and Linux with the hugetlb controller on a cgroup v2 hierarchy; tests/needs installs the rest.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

pages=24                                  # 8 + 8 in use, and a few that DPDK's heap requests and does not get
pool=$sysfs/hugepages-2048kB
Mi=$((1 << 20))
[ "$(id -u)" = 0 ] || { echo "root is needed" >&2; exit 2; }
"$(dirname "$0")/../tests/needs" bench
cg=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)
grep -qw hugetlb "$cg/cgroup.controllers" || { echo "no hugetlb controller on cgroup v2" >&2; exit 2; }

tmp=$(mktemp -d /tmp/wl-XXXXXX)
name=wl-$$                                # the name of the cgroups, file prefix and so on of this run
enabled=0 odd=0

cleanup() {
  trap '' INT TERM HUP
  local g
  end_all
  mountpoint -q "$tmp/huge" && umount "$tmp/huge"
  for g in b f; do remove_group "$cg/$name-$g"; done
  [ $enabled = 0 ] || echo -hugetlb >"$cg/cgroup.subtree_control" 2>/dev/null || true
  give_back
  rm -rf "$tmp" /run/dpdk/$name-*
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

grow $pool $pages || { echo "the kernel gave ${grown[$pool]} of $pages pages" >&2; exit 2; }
mkdir "$tmp/huge"
mount -t hugetlbfs -o pagesize=2M none "$tmp/huge"
if ! grep -qw hugetlb "$cg/cgroup.subtree_control"; then
  echo +hugetlb >"$cg/cgroup.subtree_control"
  enabled=1
fi
mkdir "$cg/$name-b" "$cg/$name-f"         # backend, frontend
# DPDK's heap tries the largest page size first. Keep it from taking 1Gi pages of other processes.
for g in b f; do
  [ ! -e "$cg/$name-$g/hugetlb.1GB.max" ] || echo 0 >"$cg/$name-$g/hugetlb.1GB.max"
done

# in GROUP COMMAND...: enters the cgroup and closes inherited descriptors, so that new ones begin at 3.
cat >"$tmp/in" <<'EOF'
#!/bin/bash
echo $$ >"$1/cgroup.procs"; shift
for f in /proc/$$/fd/*; do n=${f##*/}; [ "$n" -le 2 ] || [ "$n" = 255 ] || eval "exec $n>&-"; done
exec "$@"
EOF
chmod +x "$tmp/in"

nocap() { echo "setpriv --bounding-set=-$1 --inh-caps=-$1"; }
deny() { echo "strace -D -f --seccomp-bpf -o /dev/null -e trace=$1 -e inject=$1:error=${2:-EPERM}"; }
limit() { echo "$(($3 * 2 * Mi))" >"$cg/$name-$1/hugetlb.2MB.$2"; }
unlimit() { local g; for g in b f; do echo max >"$cg/$name-$g/hugetlb.2MB.max"; echo max >"$cg/$name-$g/hugetlb.2MB.rsvd.max"; done; }

huge_pages() { awk '/^(Private|Shared)_Hugetlb:/ {s += $2} END {print s / 2048}' "/proc/$1/smaps" 2>/dev/null || true; }
# Prints the most specific line of the log of the workload, or the signal that ended it.
words() {
  local p line
  [ "$rc" -le 128 ] || [ "$rc" = 141 ] || [ "$rc" = 143 ] || { echo "killed by SIG$(kill -l "$rc")"; return; }
  for p in 'mmap failed' 'Too many open files' 'falling back' 'SIGBUS' 'qemu-system-x86_64: [a-z_]* ?[^t]' \
    'Cannot get a virtual' 'Unable to check' 'failed to create fdset' 'VHOST_CONFIG.*failed' 'FATAL' \
    'mlockall' 'set_mempolicy:' 'query numa' 'Physical addresses' 'Cause:'; do
    line=$(grep -aE "$p" "$1" | grep -av 'terminating on signal' | head -n 1 | sed "s|$tmp/||g") || true
    [ -z "$line" ] || { echo "${line:0:100}"; return; }
  done
}
row() { # WORKLOAD LIMIT VALUE EXPECTED RESULT WORDS
  local mark=' '
  rm -f "$tmp/huge/"*                     # DPDK leaves its files, which stay charged to the cgroup
  [ "$4" = "$5" ] || { mark='!'; odd=1; }
  printf '%s %-5s %-42s %-14s %-6s %s\n' "$mark" "$1" "$2" "$3" "$5" "$6"
}

memory="--in-memory --single-file-segments"
# start_backend PREFIX...: starts testpmd with net_vhost. Its output goes through a pipe, because
# RLIMIT_FSIZE would apply to a log file.
start_backend() {
  rm -f "$tmp/s"; : >"$tmp/b.log"
  "$tmp/in" "$cg/$name-b" "$@" dpdk-testpmd -l 0-1 --no-pci -m 16 $memory --file-prefix=$name-b \
    --vdev "net_vhost0,iface=$tmp/s" -- --total-num-mbufs=1025 --forward-mode=rxonly --auto-start --stats-period 1 \
    </dev/null > >(cat >"$tmp/b.log") 2>&1 &
  b=$!; running[$b]=1
  until_seen "$tmp/b.log" Throughput $b 60
}
frames() { grep -aqE 'RX-packets: [1-9]' "$tmp/b.log"; }

# dpdk EXPECTED LIMIT VALUE SIDE PREFIX: SIDE is b, f or bf: the processes that get the prefix
dpdk() {
  local pb='' pf='' up=yes hb hf result=fails log side=$4
  [[ $4 != *b* ]] || pb=$5
  [[ $4 != *f* ]] || pf=$5
  start_backend $pb || up=no
  if [ $up = yes ]; then
    : >"$tmp/f.log"
    "$tmp/in" "$cg/$name-f" $pf dpdk-testpmd -l 0-1 --no-pci -m 16 $memory --file-prefix=$name-f \
      --vdev "net_virtio_user0,path=$tmp/s" -- --total-num-mbufs=1025 --forward-mode=txonly --auto-start --stats-period 1 \
      </dev/null > >(cat >"$tmp/f.log") 2>&1 &
    f=$!; running[$f]=1
    until_seen "$tmp/f.log" Throughput $f 60 && until_seen "$tmp/b.log" 'RX-packets: [1-9]' $f 25 || up=no
    hb=$(huge_pages $b) hf=$(huge_pages $f)
    stop $f INT; [ "$side" = b ] || log=$tmp/f.log
    frc=$rc
  fi
  stop $b INT
  [ "$side" != f ] || rc=${frc:-0}
  # count the pages of that size on both sides: each side has eight, and the backend also maps the peer's
  if [ $up = yes ] && frames && [ "${hf:-0}" -ge 8 ] && [ "${hb:-0}" -gt 8 ]; then result=works; fi
  [[ $side == f ]] || log=$tmp/b.log
  row dpdk "$2" "$3" "$1" $result "$(words "$log")"
}

# qemu EXPECTED LIMIT VALUE PREFIX BACKEND-OPTIONS: uses memfd, or a file on the mount with mem-path
qemu() {
  local result=fails h hb object=memory-backend-memfd,hugetlb=on,hugetlbsize=2M least=8
  [[ $5 != file* ]] || object=memory-backend-file,mem-path=$tmp/huge,share=on
  [[ $5 != *prealloc=off* ]] || least=1
  start_backend || true
  : >"$tmp/f.log"
  "$tmp/in" "$cg/$name-f" $4 qemu-system-x86_64 -accel tcg -m 16M -object "$object,id=m,size=16M,${5#*,}" \
    -machine q35,memory-backend=m -chardev "socket,id=c,path=$tmp/s" -netdev vhost-user,id=n,chardev=c \
    -device virtio-net-pci,netdev=n -boot n -display none -nodefaults </dev/null > >(cat >"$tmp/f.log") 2>&1 &
  f=$!; running[$f]=1
  # iPXE sends DHCP requests after four to five seconds. QEMU stays alive after it has given up vhost-user.
  if until_seen "$tmp/b.log" 'RX-packets: [1-9]' $f 80; then
    h=$(huge_pages $f) hb=$(huge_pages $b)
    if [ "${h:-0}" -ge $least ] && [ "${hb:-0}" -gt 8 ]; then result=works; fi
  fi
  stop $f TERM
  local qrc=$rc
  stop $b INT
  rc=$qrc
  row qemu "$2" "$3" "$1" $result "$(words "$tmp/f.log")"
}

printf '  %-5s %-42s %-14s %-6s %s\n' what limit value result 'its own words'

# --- dpdk -------------------------------------------------------------------------------------
dpdk works 'no limit' - bf ''
memory="--huge-dir $tmp/huge --single-file-segments"
dpdk works 'no limit, --huge-dir' - bf ''
memory="--in-memory --single-file-segments"

for n in 7 8; do
  e=works; [ $n = 8 ] || e=fails
  limit b max $n; dpdk $e 'cgroup hugetlb.2MB.max' "$n pages" b ''; unlimit
  limit b rsvd.max $n; dpdk $e 'cgroup hugetlb.2MB.rsvd.max' "$n pages" b ''; unlimit
done
dpdk works 'RLIMIT_MEMLOCK, no CAP_IPC_LOCK' 0 bf "prlimit --memlock=0 $(nocap ipc_lock)"
dpdk fails 'RLIMIT_NOFILE (hard), backend' 24 b 'prlimit --nofile=24'
dpdk works 'RLIMIT_NOFILE (hard), backend' 25 b 'prlimit --nofile=25'
dpdk works 'RLIMIT_NOFILE (soft), raised to hard' 12:64 bf 'prlimit --nofile=12:64'
dpdk fails 'RLIMIT_NOFILE (hard), frontend' 17 f 'prlimit --nofile=17'
dpdk works 'RLIMIT_NOFILE (hard), frontend' 18 f 'prlimit --nofile=18'

# EAL reserves 64 GiB of addresses for each pair of page size and NUMA node (512 GiB in all)
types=$(($(ls -d $sysfs/hugepages-* | wc -l) * $(ls -d /sys/devices/system/node/node[0-9]* | wc -l)))
reserved=$((types <= 8 ? types * 65536 : 524288))
for more in 96 128; do
  e=works; [ $more = 128 ] || e=fails
  dpdk $e "RLIMIT_AS, backend: $((reserved / 1024)) GiB and" "$more MiB" b "prlimit --as=$(((reserved + more) * Mi))"
done
for more in -64 104; do
  e=works; [ $more = 104 ] || e=fails
  dpdk $e "RLIMIT_AS, frontend: $((reserved / 1024)) GiB and" "$more MiB" f "prlimit --as=$(((reserved + more) * Mi))"
done

if [ -d $sysfs/hugepages-1048576kB ]; then largest=1024; else largest=16; fi
dpdk fails 'RLIMIT_FSIZE, --in-memory' "$largest MiB - 1" b "prlimit --fsize=$((largest * Mi - 1))"
dpdk works 'RLIMIT_FSIZE, --in-memory' "$largest MiB" b "prlimit --fsize=$((largest * Mi))"
memory="--huge-dir $tmp/huge --single-file-segments"
dpdk fails 'RLIMIT_FSIZE, --huge-dir, one file' '16 MiB - 1' b "prlimit --fsize=$((16 * Mi - 1))"
dpdk works 'RLIMIT_FSIZE, --huge-dir, one file' '16 MiB' b "prlimit --fsize=$((16 * Mi))"
dpdk works 'seccomp memfd_create, --huge-dir' EPERM bf "$(deny memfd_create)"
memory="--in-memory --single-file-segments"

dpdk fails 'seccomp memfd_create, --in-memory' EPERM b "$(deny memfd_create)"
dpdk fails 'seccomp get_mempolicy' EPERM b "$(deny get_mempolicy)"
dpdk works 'seccomp get_mempolicy' ENOSYS bf "$(deny get_mempolicy ENOSYS)"
dpdk works 'seccomp set_mempolicy' EPERM bf "$(deny set_mempolicy)"
dpdk works 'seccomp mbind,madvise' EPERM bf "$(deny mbind,madvise)"
dpdk works 'seccomp mlock,mlock2,mlockall' EPERM bf "$(deny mlock,mlock2,mlockall)"
dpdk works 'no capability at all' - bf "$(nocap all)"

# --- qemu -------------------------------------------------------------------------------------
for o in memfd file; do
  qemu works "no limit, $o" prealloc=on '' $o,prealloc=on
  qemu works "no limit, $o" prealloc=off '' $o,prealloc=off
done
for n in 7 8; do
  e=works; [ $n = 8 ] || e=fails
  limit f max $n; qemu $e 'cgroup hugetlb.2MB.max, prealloc=on' "$n pages" '' memfd,prealloc=on; unlimit
done
limit f max 1; qemu fails 'cgroup hugetlb.2MB.max, prealloc=off' '1 page' '' file,prealloc=off; unlimit
limit f max 2; qemu works 'cgroup hugetlb.2MB.max, prealloc=off' '2 pages' '' file,prealloc=off; unlimit
limit f rsvd.max 7; qemu fails 'cgroup hugetlb.2MB.rsvd.max, prealloc=off' '7 pages' '' file,prealloc=off
qemu works '... and reserve=off' '7 pages' '' file,prealloc=off,reserve=off; unlimit
limit f rsvd.max 8; qemu works 'cgroup hugetlb.2MB.rsvd.max, prealloc=on' '8 pages' '' file,prealloc=on; unlimit
qemu fails 'RLIMIT_NOFILE (soft)' 17:64 'prlimit --nofile=17:64' memfd,prealloc=on
qemu works 'RLIMIT_NOFILE (soft)' 18:64 'prlimit --nofile=18:64' memfd,prealloc=on
qemu fails 'RLIMIT_AS (TCG)' '1152 + 16 MiB' "prlimit --as=$(((1152 + 16) * Mi))" memfd,prealloc=on
qemu works 'RLIMIT_AS (TCG)' '1288 + 16 MiB' "prlimit --as=$(((1288 + 16) * Mi))" memfd,prealloc=on
for o in memfd file; do qemu fails "RLIMIT_FSIZE, $o" '16 MiB - 1' "prlimit --fsize=$((16 * Mi - 1))" $o,prealloc=on; done
qemu works 'RLIMIT_FSIZE, file' '16 MiB' "prlimit --fsize=$((16 * Mi))" file,prealloc=on
qemu works 'no capability, RLIMIT_MEMLOCK' 0 "prlimit --memlock=0 $(nocap all)" file,prealloc=on,host-nodes=0,policy=bind
qemu fails 'seccomp mbind, policy=bind' EPERM "$(deny mbind)" file,prealloc=on,host-nodes=0,policy=bind
qemu works 'seccomp mbind, no policy' EPERM "$(deny mbind)" file,prealloc=on
qemu works 'seccomp get_, set_mempolicy, policy=bind' EPERM "$(deny get_mempolicy,set_mempolicy)" file,prealloc=on,host-nodes=0,policy=bind
qemu fails 'seccomp memfd_create, memfd' EPERM "$(deny memfd_create)" memfd,prealloc=on
qemu works 'seccomp memfd_create, file' EPERM "$(deny memfd_create)" file,prealloc=on
qemu fails 'seccomp madvise, prealloc=on' EPERM "$(deny madvise)" file,prealloc=on
qemu works 'seccomp madvise, prealloc=off' EPERM "$(deny madvise)" file,prealloc=off

exit $odd
