# The cases of the MutatingAdmissionPolicies. Sourced by `cases`. Most of them run with NIGHTLY=1 only, because each takes two calls.

# workload OUTPUT [JSON-PATCH]: creates a pod that asks for the preflight, with a change, and prints what the API server made of it.
workload() {
    printf '%s' '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "w", "namespace": "workloads", "labels": {"hugeprobe.io/preflight": "true"}, "annotations": {}},
        "spec": {"containers": [
            {"name": "a", "image": "a", "resources": {"limits": {"cpu": "1", "memory": "64Mi", "hugepages-2Mi": "16Mi"}}, "volumeMounts": [{"name": "pages", "mountPath": "/dev/hugepages"}]},
            {"name": "b", "image": "b", "resources": {"limits": {"cpu": "1", "memory": "64Mi", "hugepages-2Mi": "8Mi"}}},
            {"name": "c", "image": "c", "resources": {"limits": {"cpu": "1", "memory": "64Mi"}}}],
        "volumes": [{"name": "other", "emptyDir": {}}, {"name": "pages", "emptyDir": {"medium": "HugePages-2Mi"}}]}}' |
        admin patch --local --filename - --type json --patch "${2:-[]}" --output json | admin create --dry-run=server --filename - --output "$1"
}

# shows WHAT EXPECTED JSONPATH [JSON-PATCH]
shows() {
    workload "jsonpath=$3" "${4:-[]}" >"$WORK/last" 2>&1
    [ "$(cat "$WORK/last")" = "$2" ]
    verdict $? "preflight: $1"
}

# What Pod Security `restricted` takes.
restricted='[{"op": "add", "path": "/spec/securityContext", "value": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}},
    {"op": "add", "path": "/spec/containers/0/securityContext", "value": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}},
    {"op": "add", "path": "/spec/containers/1/securityContext", "value": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}},
    {"op": "add", "path": "/spec/containers/2/securityContext", "value": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]'

preflight_cases() {
    local first='{.spec.initContainers[0]' names='{.spec.initContainers[*].name}' none=''
    local security=/spec/containers/0/securityContext other='{"name": "other", "image": "o"}'
    shows "all pages of the pod, of its page size, in its own volume" '["check","--size","2Mi","--need","2Mi=12","--workload","dpdk","--dir","/hugepages"]' "$first.args}"
    shows "requests and limits are the same" '{"cpu":"200m","hugepages-2Mi":"24Mi","memory":"32Mi"} {"cpu":"200m","hugepages-2Mi":"24Mi","memory":"32Mi"}' "$first.resources.requests} $first.resources.limits}"
    shows "a Guaranteed pod stays one" Guaranteed '{.status.qosClass}'
    shows "before the pod's own init containers" 'hugeprobe-preflight-2mi other' "$names" "$(set_to /spec/initContainers "[$other]")"
    shows "none without the label" "$none" "$names" "$(without /metadata/labels)"
    [ "${NIGHTLY:-}" = 1 ] || return 0
    shows "the mount" '{"mountPath":"/hugepages","name":"pages"}' "$first.volumeMounts[0]}"
    shows "one for each page size" 'hugeprobe-preflight-1gi hugeprobe-preflight-2mi' "$names" "$(set_to /spec/containers/1/resources/limits/hugepages-1Gi '"2Gi"')"
    shows "without a volume of that size, with memfd" '["check","--size","1Gi","--need","1Gi=2","--workload","dpdk"]' "$first.args}" "$(set_to /spec/containers/1/resources/limits/hugepages-1Gi '"2Gi"')"
    shows "a volume of the one size that there is" '{"mountPath":"/hugepages","name":"pages"}' "$first.volumeMounts[0]}" "$(set_to /spec/volumes/1/emptyDir/medium '"HugePages"')"
    shows "the first of two volumes" '{"mountPath":"/hugepages","name":"pages"}' "$first.volumeMounts[0]}" "$(set_to /spec/volumes/- '{"name": "more", "emptyDir": {"medium": "HugePages-2Mi"}}')"
    shows "the pages of a sidecar" '2Mi=14' "$first.args[4]}" "$(set_to /spec/initContainers '[{"name": "s", "image": "s", "restartPolicy": "Always", "resources": {"limits": {"cpu": "1", "memory": "64Mi", "hugepages-2Mi": "4Mi"}}}]')"
    shows "not those of another init container" '2Mi=12' "$first.args[4]}" "$(set_to /spec/initContainers '[{"name": "s", "image": "s", "resources": {"limits": {"cpu": "1", "memory": "64Mi", "hugepages-2Mi": "4Mi"}}}]')"
    shows "the limit of the pod" '2Mi=32' "$first.args[4]}" "$(set_to /spec/resources '{"limits": {"cpu": "4", "memory": "1Gi", "hugepages-2Mi": "64Mi"}, "requests": {"cpu": "4", "memory": "1Gi", "hugepages-2Mi": "64Mi"}}')"

    shows "root, where nothing says otherwise" 0 "$first.securityContext.runAsUser}"
    shows "the user of the pod" 107 "$first.securityContext.runAsUser}" "$(set_to /spec/securityContext '{"runAsUser": 107}')"
    shows "the user and group of the container" '1000 1001' "$first.securityContext.runAsUser} $first.securityContext.runAsGroup}" "$(set_to $security '{"runAsUser": 1000, "runAsGroup": 1001}')"
    shows "a user where the pod may not be root" 65532 "$first.securityContext.runAsUser}" "$(set_to /spec/securityContext '{"runAsNonRoot": true}')"
    shows "the user of the first container with pages" 1000 "$first.securityContext.runAsUser}" "[$(set_to /spec/containers/0 '{"name": "z", "image": "z"}' | tr -d '[]'), {\"op\": \"add\", \"path\": \"/spec/containers/1/securityContext\", \"value\": {\"runAsUser\": 1000}}]"
    shows "no other right than the container has" '{"allowPrivilegeEscalation":false,"capabilities":{"add":["IPC_LOCK"],"drop":["ALL"]},"readOnlyRootFilesystem":true,"runAsUser":0,"seccompProfile":{"type":"RuntimeDefault"}}' \
        "$first.securityContext}" "$(set_to $security '{"capabilities": {"add": ["IPC_LOCK"], "drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}')"
    shows "never privileged, and unconfined as a privileged container is" ' Unconfined' "$first.securityContext.privileged} $first.securityContext.seccompProfile.type}" "$(set_to $security '{"privileged": true}')"
    shows "CAP_SYS_ADMIN, with which a container may not give up escalation" '' "$first.securityContext.allowPrivilegeEscalation}" "$(set_to $security '{"capabilities": {"add": ["SYS_ADMIN"]}}')"

    shows "none for another value of the label" "$none" "$names" "$(set_to /metadata/labels/hugeprobe.io~1preflight '"false"')"
    shows "none for a pod without huge pages" "$none" "$names" "[$(without /spec/containers/0/resources/limits/hugepages-2Mi | tr -d '[]'), $(without /spec/containers/1/resources/limits/hugepages-2Mi | tr -d '[]')]"
    shows "none for a pod that has one" 'hugeprobe-preflight' "$names" "$(set_to /spec/initContainers '[{"name": "hugeprobe-preflight", "image": "o"}]')"
    shows "none in the namespace of the release" "$none" "$names" "${restricted%]}, {\"op\": \"add\", \"path\": \"/metadata/namespace\", \"value\": \"hugeprobe\"}]"
    shows "none for a static pod" "$none" "$names" '[{"op": "add", "path": "/metadata/annotations/kubernetes.io~1config.mirror", "value": "x"}, {"op": "add", "path": "/spec/nodeName", "value": "node-a"}]'
}

# === the boot of a node ===

boots() { admin patch node "$1" --subresource status --type merge --patch "{\"status\": {\"nodeInfo\": {\"bootID\": \"$2\"}}}"; }
# known NODE: prints the labels and the condition of a node.
known() { admin get node "$1" --output jsonpath='{.metadata.labels.hugeprobe\.io/verdict} {.metadata.labels.hugeprobe\.io/hugepages-2Mi} {.status.conditions[?(@.type=="hugeprobe.io/HugepagesReady")].status} {.status.conditions[?(@.type=="hugeprobe.io/HugepagesReady")].reason}'; }
is_known() {
    known "$1" >"$WORK/last"
    [ "$(cat "$WORK/last")" = "$2" ]
}

reboot_cases() {
    apply node-a "$verdict_of" >"$WORK/last" 2>&1
    allowed "a verdict" is_known node-a 'pass pass True Passed'
    admin patch node node-a --subresource status --type merge --patch '{"status": {"nodeInfo": {"kernelVersion": "6.18"}}}' >"$WORK/last"
    allowed "the verdict stays while the boot does" is_known node-a 'pass pass True Passed'
    allowed "another boot" boots node-a c
    allowed "it takes the labels and the condition away" is_known node-a '   '
    allowed "it leaves other conditions and labels alone" eval '[ "$(admin get node node-a --output jsonpath="{.metadata.labels.pool} {.status.conditions[?(@.type==\"Ready\")].status}")" = "nfv True" ]'
    allowed "another boot again" boots node-a d
    allowed "a new verdict of the agent" apply node-a "$verdict_of"
    allowed "it is there" is_known node-a 'pass pass True Passed'
    allowed "another boot of a node without a verdict" boots node-b c
}

# The chart is installed with both policies.
mutation_cases() {
    local example
    admin create namespace workloads >"$WORK/last"
    admin create serviceaccount default --namespace workloads >"$WORK/last" 2>&1
    admin create serviceaccount default --namespace hugeprobe >"$WORK/last" 2>&1
    until_it_works eval 'workload "jsonpath={.spec.initContainers[0].name}" | grep hugeprobe-preflight'
    preflight_cases
    admin label namespace workloads pod-security.kubernetes.io/enforce=restricted >"$WORK/last"
    allowed "a preflight under Pod Security restricted" workload name "$restricted"
    admin label namespace workloads pod-security.kubernetes.io/enforce- >"$WORK/last"
    reboot_cases
    # The manifests of examples/ that the API server knows, with every field.
    for example in preflight-job testpmd-pair; do
        allowed "examples/$example.yaml" eval "sed s/NODE/node-a/ '$here/../../examples/$example.yaml' | admin create --namespace workloads --dry-run=server --validate=strict --filename -"
    done
    [ "${NIGHTLY:-}" = 1 ] || return 0
    allowed "pages that count as memory" install --set preflight.enabled=true,preflight.pagesCountAsMemory=true
    until_it_works eval 'workload "jsonpath={.spec.initContainers[0].resources.limits.memory}" | grep -x 58720256'
    install
    until_it_works eval '[ -z "$(workload "jsonpath={.spec.initContainers[0].name}")" ]'
}
