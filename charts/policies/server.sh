# Starts an API server, and the functions with which cases are written. Sourced by `cases` and by benches/scale/server; $WORK and
# $KUBERNETES are set.
set -uo pipefail
chart=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../hugeprobe
tools=$(readlink -m "$chart/../../target/tools")
cd "$WORK"
passed=0 failed=0
# The minor version of Kubernetes: 34 of v1.34.4.
minor=$("$KUBERNETES" kubelet --version | sed 's/^Kubernetes v1\.\([0-9]*\)\..*/\1/')

admin() { "$KUBERNETES" kubectl --kubeconfig "$WORK/admin.conf" "$@"; }
# As the agent of node-a, or of node-b.
agent() { "$KUBERNETES" kubectl --kubeconfig "$WORK/agent-a.conf" "$@"; }

kubeconfig() {
    cat >"$WORK/$1.conf" <<CONF
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443", insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: "$2"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
CONF
}

until_it_works() {
    for _ in $(seq 240); do
        if "$@" >"$WORK/last" 2>&1; then return; fi
        sleep .25
    done
    echo "did not work within a minute: $*" >&2
    cat "$WORK/last" >&2
    grep -E '^[EF]|^W.*admission' "$WORK/apiserver.log" | tail -n 20 >&2
    exit 1
}

# === cases ===

verdict() {
    if [ "$1" = 0 ]; then
        passed=$((passed + 1))
        printf 'ok      %s\n' "$2"
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$2"
        sed 's/^/        /' "$WORK/last"
    fi
}

# allowed WHAT COMMAND...
allowed() {
    local what=$1
    shift
    "$@" >"$WORK/last" 2>&1
    verdict $? "allowed: $what"
}

# denied WHAT WORDS COMMAND...: it fails, and these words are in what the server says.
denied() {
    local what=$1 words=$2
    shift 2
    if "$@" >"$WORK/last" 2>&1; then
        echo "(it was allowed)" >>"$WORK/last"
        verdict 1 "denied: $what"
    else
        grep -qF -- "$words" "$WORK/last"
        verdict $? "denied: $what"
    fi
}

# from MINOR CASE...: runs a case from this minor version of Kubernetes on.
from() {
    if [ "$minor" -ge "$1" ]; then
        "${@:2}"
    else
        printf 'skipped %s: %s (needs Kubernetes 1.%s)\n' "$2" "$3" "$1"
    fi
}

# === the server ===

# api_server FLAGS...: runs kube-apiserver in the foreground.
api_server() {
    local mutating=()
    # An older API server does not start with the name of a feature that it does not have.
    if [ "$minor" -ge 34 ]; then
        mutating=(--feature-gates MutatingAdmissionPolicy=true --runtime-config admissionregistration.k8s.io/v1beta1=true)
    fi
    exec "$KUBERNETES" kube-apiserver --etcd-servers http://127.0.0.1:2379 --bind-address 127.0.0.1 --advertise-address 192.0.2.1 --secure-port 6443 \
        --cert-dir "$WORK/certificates" --token-auth-file tokens --authorization-mode RBAC --service-cluster-ip-range 10.96.0.0/16 \
        --service-account-key-file accounts.pub --service-account-signing-key-file accounts.key --service-account-issuer https://here \
        "${mutating[@]}" --allow-privileged "$@" >>apiserver.log 2>&1
}

# start [COMMAND]: starts everything. COMMAND runs kube-apiserver and stays in the foreground, as api_server does.
start() {
    ip link set lo up
    openssl genrsa -out accounts.key 2048 2>/dev/null
    openssl rsa -in accounts.key -pubout -out accounts.pub 2>/dev/null
    echo 'admin,admin,1,system:masters' >tokens
    kubeconfig admin admin
    "$KUBERNETES" etcd --data-dir "$WORK/etcd" --listen-client-urls http://127.0.0.1:2379 --unsafe-no-fsync \
        --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 >etcd.log 2>&1 &
    "${1-api_server}" &
    until_it_works admin get --raw /readyz
    until_it_works admin get namespace default
    printf 'apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: %s}\nhandler: h\n---\n' kata runc | admin create --filename - >/dev/null
    # For what the type checker says about the policies, and for the quota.
    "$KUBERNETES" kube-controller-manager --kubeconfig "$WORK/admin.conf" --leader-elect=false \
        --controllers validatingadmissionpolicy-status-controller,resourcequota-controller >manager.log 2>&1 &
}

two_nodes() {
    for node in node-a node-b; do
        admin create -f - <<NODE
apiVersion: v1
kind: Node
metadata:
  name: $node
  labels: {kubernetes.io/hostname: $node, pool: nfv, hugeprobe.io/stranger: "yes"}
  annotations: {example.com/kept: "yes", hugeprobe.io/stranger: "yes"}
NODE
        # As large as Kubernetes lets a status be: policies have a budget.
        admin patch node $node --subresource status --type merge --patch "$(
            printf '{"status": {"capacity": {"cpu": "4", "hugepages-2Mi": "128Mi"}, "allocatable": {"cpu": "4", "hugepages-2Mi": "128Mi"},'
            printf '"nodeInfo": {"bootID": "b", "machineID": "", "systemUUID": "", "kernelVersion": "", "osImage": "", "containerRuntimeVersion": "", "kubeletVersion": "", "kubeProxyVersion": "", "operatingSystem": "", "architecture": ""},'
            printf '"conditions": [{"type": "Ready", "status": "True"}, {"type": "example.com/Other", "status": "True"}], "images": ['
            for i in $(seq 50); do printf '%s{"names": ["registry.example/%0200d"], "sizeBytes": %d}' "${comma:-}" "$i" "$i"; comma=,; done
            printf ']}}'
        )"
    done >/dev/null
}

# agent_pod NAME NODE: a pod as the DaemonSet makes it, and a kubeconfig with its token.
agent_pod() {
    admin delete pod "$1" --namespace hugeprobe --ignore-not-found --force >"$WORK/last" 2>&1
    printf '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "%s", "namespace": "hugeprobe"}, "spec": %s}' \
        "$1" "$(admin get daemonset hugeprobe --namespace hugeprobe --output jsonpath='{.spec.template.spec}')" |
        admin patch --local --filename - --type merge --patch "{\"spec\": {\"nodeName\": \"$2\"}}" --output json |
        admin create --filename - >>"$WORK/last" 2>&1 || return
    kubeconfig "$1" "$(admin create token hugeprobe-agent --namespace hugeprobe --bound-object-kind Pod --bound-object-name "$1" \
        --bound-object-uid "$(admin get pod "$1" --namespace hugeprobe --output jsonpath='{.metadata.uid}')")"
}
