//! HP2xx: Kubernetes' view of the pools.

checks! {
    HP201 = 201 {
        reason: "CapacityStale",
        title: "the node's capacity is equal to the persistent pool",
        why: "The kubelet counts the pool only when it starts. The scheduler uses that count: if it is too high, \
              pods are sent to the node and get no pages; if it is too low, pods stay Pending although pages are \
              free.",
        how: "hugepages-SIZE in the Node's .status.capacity, in pages, compared with nr_hugepages minus \
              surplus_hugepages. fail: the capacity is more than the kernel has; or it is 0 although the kernel has \
              pages; or it is less than expectations, needs or the boot command line ask for. warn: it is less than \
              the kernel has, but enough for those. unknown: one of the two numbers cannot be read. skip: both are \
              0.",
        remedy: "restart the kubelet so that it counts the pages again",
        per_size: true,
        mandatory: false,
    }
    HP202 = 202 {
        reason: "PagesUsedOutsidePods",
        title: "pages are used by pods only",
        why: "The scheduler treats every page that no pod has requested as free. If a process of the host holds a \
              page, that page can be assigned to a pod too; the pod then starts, and is killed by SIGBUS or fails \
              with ENOMEM.",
        how: "pages in use beyond what all pods of the node have requested together: a lower bound. fail: the \
              scheduler still assigns pages, but the kernel has none left. warn: pages are in use outside pods, and \
              some are free. skip: this service account may not list the pods of the node (chart value \
              podAccounting, or the privileged profile).",
        remedy: "find the process that holds them (run hugeprobe check as root, HP105), and move it into a pod or \
                 to another pool",
        per_size: true,
        mandatory: false,
    }
    HP203 = 203 {
        reason: "ProbePodNotAdmitted",
        title: "scheduler and kubelet admit a pod with pages of this size",
        why: "A check outside a pod does not cover admission, mount and cgroup, and every workload depends on them.",
        how: "pass: the last probe pod ran to completion; or the node is busy, or the probe is queued, and the \
              verdict of the previous probe is still used. unknown: no probe has reported since boot, or since the \
              pool or a need changed; the reason is given. warn: the last probe could not run for a reason \
              unrelated to huge pages (image missing, refused); the verdict of the previous probe is used until it \
              expires. skip: there is nothing to probe.",
        remedy: "run kubectl describe on the probe pod while it waits; the annotation hugeprobe.io/probe has the \
                 reason",
        per_size: true,
        mandatory: false,
    }
}
