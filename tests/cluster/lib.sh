# Names and small functions of the scripts beside it, which source it.
#
# Everything that lives belongs to one of two things, so that nothing can be left behind whatever is killed:
# - one cgroup, $group, in every hierarchy: the daemons, and by the kubelet's cgroupRoot all pods. What is in there is ours.
# - one mount and one network namespace, made by the `keeper` process and joined by every daemon. Mounts, links and the
#   pods' own namespaces are known in there alone, and go when the last process does.
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
clone=$(readlink -f "$here/../..")
bin=$clone/target/cluster/bin
state=$clone/target/cluster/state
group=hugeprobe-cluster
node=node-a
address=192.168.77.1
service=10.96.0.1
socket=/run/containerd/containerd.sock # among the cluster's mounts
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin${PATH:+:$PATH}

say() { printf 'cluster: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# The v2 hierarchy beside v1 ones: where hugetlb is when nobody has mounted it as v1.
unified=$(awk '$3 == "cgroup2" && $2 != "/sys/fs/cgroup" { print $2; exit }' /proc/mounts)

# Where each cgroup hierarchy is mounted, one a line.
hierarchies() { awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts; }

# Makes our cgroup where it is missing. A new cpuset group has no CPUs, and takes no process before it has.
make_groups() {
    local hierarchy level file
    for hierarchy in $(hierarchies); do
        mkdir -p "$hierarchy/$group/daemons"
        [ -e "$hierarchy/$group/cpuset.cpus" ] || continue
        for level in "$group" "$group/daemons"; do
            for file in cpuset.cpus cpuset.mems; do cat "$hierarchy/$file" >"$hierarchy/$level/$file"; done
        done
    done
}

# The hierarchy by which processes are found again.
tracker() { if [ -d /sys/fs/cgroup/pids ]; then echo /sys/fs/cgroup/pids; else echo /sys/fs/cgroup; fi; }

# The ids of all processes of a cluster on this machine, ours or another clone's.
processes() { find "$(tracker)/$group" -name cgroup.procs -exec cat {} + 2>/dev/null || true; }

# The id of a daemon that lives. A number alone may be somebody else's by now: it counts if it is in our cgroup.
pid_of() {
    local pid
    pid=$(cat "$state/$1.pid" 2>/dev/null) && grep -qx "$pid" "$(tracker)/$group/daemons/cgroup.procs" 2>/dev/null && echo "$pid"
}

# Any living process whose namespaces are the cluster's.
member() {
    local name
    for name in keeper containerd kubelet etcd apiserver scheduler controller-manager; do
        pid_of $name && return
    done
    return 1
}

# Runs a command in the cluster's network, and `inside --mount` among its mounts too.
inside() {
    local namespaces=(--net) pid
    if [ "$1" = --mount ]; then namespaces+=(--mount); shift; fi
    pid=$(member) || die "no cluster is running from this clone; \`make cluster\` starts one"
    nsenter --target "$pid" "${namespaces[@]}" -- "$@"
}

# Starts a command in the cluster's cgroup, in a session of its own, and keeps its id under a name.
launch() {
    local name=$1
    shift
    (
        for hierarchy in $(hierarchies); do echo "$BASHPID" >"$hierarchy/$group/daemons/cgroup.procs"; done
        exec setsid "$@"
    ) </dev/null >>"$state/log/$name.log" 2>&1 &
    echo $! >"$state/$name.pid"
}

# Tries a command twice a second for so many seconds.
within() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || die "$what did not happen in time; see $state/log"
        sleep .5
    done
}

# Runs containerd's client.
ctr() { inside --mount ctr --address "$socket" --namespace k8s.io "$@"; }

kubectl() { inside "$bin/kubernetes" kubectl --kubeconfig "$state/admin.conf" "$@"; }
