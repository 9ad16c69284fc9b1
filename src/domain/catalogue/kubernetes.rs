//! HP2xx: Kubernetes' view of the pools.

checks! {
    HP201 = 201 {
        reason: "CapacityStale",
        title: "the node's capacity is the persistent pool",
        why: "The kubelet counts the pool when it starts and not again. The scheduler goes by that number: with too many it \
              sends pods that get no page, with too few they stay Pending beside free pages.",
        how: "hugepages-SIZE in the Node's .status.capacity, in pages, against nr_hugepages less surplus_hugepages. fail: more than \
              there are; none though there are some; or fewer than expectations, needs or the boot command line ask for. warn: \
              fewer than there are, and enough for those. unknown: one of the two numbers cannot be read. skip: neither has any.",
        remedy: "restart the kubelet: it counts the pages again",
        per_size: true,
        mandatory: false,
    }
    HP202 = 202 {
        reason: "PagesUsedOutsidePods",
        title: "no page is in use outside pods",
        why: "The scheduler takes every page that no pod has requested for free. A page that a process of the host holds is \
              promised to a pod all the same, which then starts and is killed by SIGBUS or stopped by ENOMEM.",
        how: "pages in use, and more than all pods of the node have requested together: a lower bound. fail: the scheduler has pages \
              to give away and the kernel has none. warn: pages are in use outside pods, and some are left. skip: the pods of \
              the node may not be listed (chart value podAccounting, or the privileged profile).",
        remedy: "find the process that holds them (hugeprobe check as root, HP105), and give it a pod or another pool",
        per_size: true,
        mandatory: false,
    }
    HP203 = 203 {
        reason: "ProbePodNotAdmitted",
        title: "scheduler and kubelet let a pod have pages of this size",
        why: "What was tried outside a pod says nothing about admission, mount and cgroup, which every workload goes through.",
        how: "pass: the last probe pod ran to its end; or the node is busy, or the probe waits for its turn, and the verdict of the one \
              before stands. unknown: no probe has told anything since boot, or since the pool or a need changed, with the reason. \
              warn: the last one could not run for a reason of its own (no image, refused), and the verdict before it stands until it \
              is no longer valid. skip: there is nothing to try.",
        remedy: "kubectl describe the probe pod while it waits; its reason stands in the annotation hugeprobe.io/probe",
        per_size: true,
        mandatory: false,
    }
}
