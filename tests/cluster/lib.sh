# Names and small functions for the scripts in this directory, which source this file.
#
# Everything that the cluster creates belongs to one of two things, so that `down` can remove it all, whatever was killed:
# - the cgroup $group in every hierarchy: it contains the daemons and, by the kubelet's cgroupRoot, all pods.
# - one mount namespace and one network namespace, which the `keeper` process creates and every daemon joins. Mounts, links
#   and the pods' namespaces exist only there, and disappear with the last process.
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
clone=$(readlink -f "$here/../..")
bin=$clone/target/cluster/bin
state=$clone/target/cluster/state
group=hugeprobe-cluster
node=node-a
address=192.168.77.1
service=10.96.0.1
socket=/run/containerd/containerd.sock # in the cluster's mount namespace
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin${PATH:+:$PATH}

# Puts the containerd and runc of `build` before those of the system, if `up` was asked to start the cluster with them.
use_runtime() { if [ -e "$state/runtime" ]; then PATH=$(cat "$state/runtime"):$PATH; fi; }
use_runtime

say() { printf 'cluster: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# The v2 hierarchy in a mixed layout. It has hugetlb unless hugetlb is mounted as v1.
unified=$(awk '$3 == "cgroup2" && $2 != "/sys/fs/cgroup" { print $2; exit }' /proc/mounts)

# Prints the mount point of each cgroup hierarchy, one per line.
hierarchies() { awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts; }

# Creates our cgroup where it is missing. A new cpuset cgroup of v1 has no CPUs and accepts no process until it has some; in v2,
# whose root has no such file, it has those of its parent.
make_groups() {
    local hierarchy level file
    for hierarchy in $(hierarchies); do
        mkdir -p "$hierarchy/$group/daemons"
        [ -e "$hierarchy/cpuset.cpus" ] || continue
        for level in "$group" "$group/daemons"; do
            for file in cpuset.cpus cpuset.mems; do cat "$hierarchy/$file" >"$hierarchy/$level/$file"; done
        done
    done
}

# The hierarchy in which processes are looked up.
tracker() { if [ -d /sys/fs/cgroup/pids ]; then echo /sys/fs/cgroup/pids; else echo /sys/fs/cgroup; fi; }

# Prints the ids of all processes of any cluster on this machine, of this clone or another.
processes() { find "$(tracker)/$group" -name cgroup.procs -exec cat {} + 2>/dev/null || true; }

# Prints the id of a running daemon. The stored id may have been reused, so it counts only if it is in our cgroup.
pid_of() {
    local pid
    pid=$(cat "$state/$1.pid" 2>/dev/null) && grep -qx "$pid" "$(tracker)/$group/daemons/cgroup.procs" 2>/dev/null && echo "$pid"
}

# Prints any running process that is in the cluster's namespaces.
member() {
    local name
    for name in keeper containerd kubelet etcd apiserver scheduler controller-manager; do
        pid_of $name && return
    done
    return 1
}

# Runs a command in the cluster's network namespace; with `inside --mount` also in its mount namespace.
inside() {
    local namespaces=(--net) pid
    if [ "$1" = --mount ]; then namespaces+=(--mount); shift; fi
    pid=$(member) || die "no cluster is running from this clone; \`make cluster\` starts one"
    nsenter --target "$pid" "${namespaces[@]}" -- "$@"
}

# Starts a command in the cluster's cgroup, in a separate session, and stores its id under a name.
launch() {
    local name=$1
    shift
    (
        for hierarchy in $(hierarchies); do echo "$BASHPID" >"$hierarchy/$group/daemons/cgroup.procs"; done
        exec setsid "$@"
    ) </dev/null >>"$state/log/$name.log" 2>&1 &
    echo $! >"$state/$name.pid"
}

# Tries a command twice a second, for a number of seconds. In an emulated machine everything takes SLOWNESS times as long.
within() {
    local deadline=$((SECONDS + $1 * ${SLOWNESS:-1})) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || die "$what did not happen in time; see $state/log"
        sleep .5
    done
}

# Runs containerd's client.
ctr() { inside --mount ctr --address "$socket" --namespace k8s.io "$@"; }

kubectl() { inside "$bin/kubernetes" kubectl --kubeconfig "$state/admin.conf" "$@"; }

# Prints the minor version of the Kubernetes that `build` built.
minor() { "$bin/kubernetes" kubelet --version | sed 's/^Kubernetes v1\.\([0-9]*\)\..*/\1/'; }

# Makes a key, or a key and a certificate that the cluster trusts, in the current directory, which is $state/keys.
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
certificate() { # name, subject, alternative names
    key "$1"
    openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" \
        -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3") 2>/dev/null
}

# Prints the name of the image in an archive.
archived() { tar -xOf "$1" manifest.json | sed 's/.*"RepoTags":\["\([^"]*\)"\].*/\1/'; }

# Prints the shared libraries of programs and libraries, one per line.
libraries() { ldd "$@" | sed -nE 's|^\t(.* => )?(/[^ ]+) .*|\2|p' | sort -u; }

# Writes a directory as an image of one layer, target/cluster/bin/NAME.tar, whose containers run a program of it.
pack() { # name, directory, program
    local files
    mkdir -p "$2"/{run,tmp,var/run}
    chmod 1777 "$2"/{run,tmp}
    chmod 755 "$2" # mktemp's own is 700, and not every container is root
    files=$(mktemp -d "$bin/image.XXXXXX")
    tar -C "$2" --owner=0 --group=0 --numeric-owner -cf "$files/layer.tar" .
    printf '{"architecture": "%s", "os": "linux", "config": {"Entrypoint": ["%s"]}, "rootfs": {"type": "layers", "diff_ids": ["sha256:%s"]}}' \
        "$(go env GOARCH)" "$3" "$(sha256sum <"$files/layer.tar" | cut -d ' ' -f 1)" >"$files/config.json"
    printf '[{"Config": "config.json", "RepoTags": ["localhost/%s:1"], "Layers": ["layer.tar"]}]' "$1" >"$files/manifest.json"
    tar -C "$files" -cf "$bin/$1.tar" manifest.json config.json layer.tar
    rm -rf "$files"
}
