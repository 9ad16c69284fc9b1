//! What the kubelet, the API server, the scheduler and container runtimes say, and what is met in pods.

super::troubles! {
    "kubelet-stale" {
        example: "nothing is printed: hugepages-2Mi of the Node is 0, or what it was, though the pool was changed",
        says: [],
        cause: "The kubelet reads the pools once, when it starts.",
        remedy: "restart the kubelet after pools were changed, or set them at boot",
        checks: [HP201],
        sources: ["kubernetes/kubernetes#111757", "kubernetes/kubernetes#72307"],
    }
    "kubelet-capacity" {
        example: "nothing is printed: allocatable shows pages that somebody outside of pods has",
        says: [],
        cause: "The API reports what is configured, not what is free.",
        remedy: "look at free pages per NUMA node; keep other users of huge pages off the node",
        checks: [HP202, HP102],
        sources: ["kubernetes/kubernetes#64691"],
    }
    "kubelet-out-of" {
        example: "Pod was rejected: OutOfhugepages-2Mi: Node didn't have enough resource: hugepages-2Mi",
        says: [["outofhugepages-"], ["node didn't have enough resource: hugepages-"]],
        cause: "The kubelet had fewer pages than the scheduler believed: after a reboot the pool was not set, or not yet, when it \
                started.",
        remedy: "set pools at boot, or before the kubelet starts, and restart it",
        checks: [HP203, HP201, HP103],
        sources: ["kubernetes/kubernetes#99482", "longhorn/longhorn#9983"],
    }
    "scheduler-insufficient" {
        example: "0/3 nodes are available: 3 Insufficient hugepages-1Gi.",
        says: [["insufficient hugepages-"]],
        cause: "No node has as many pages left that no pod has requested, or the kubelet does not know of them.",
        remedy: "compare the Node's allocatable with the pool; restart the kubelet if they differ",
        checks: [HP203, HP201],
        sources: ["Kubernetes 1.34"],
    }
    "kubelet-two-sizes" {
        example: "Node may not have pre-allocated hugepages for multiple page sizes",
        says: [["may not have pre-allocated hugepages for multiple page sizes"]],
        cause: "An API server before 1.19 takes pages of one size per node.",
        remedy: "upgrade, or empty the pools of the other sizes",
        checks: [HP203],
        sources: ["kubernetes/kubernetes#80452", "openshift-kni/performance-addon-operators#181"],
    }
    "volume-two-sizes" {
        example: "MountVolume.SetUp failed for volume \"hugepage\": medium: HugePages can't be used if container requests multiple huge page sizes",
        says: [["can't be used if container requests multiple huge page sizes"], ["can't be used if container requests multiple"]],
        cause: "`medium: HugePages` does not say which size, and the pod requests two.",
        remedy: "medium: HugePages-2Mi, and another volume with HugePages-1Gi",
        checks: [],
        sources: ["Kubernetes pkg/volume/emptydir/empty_dir.go"],
    }
    "volume-no-request" {
        example: "MountVolume.SetUp failed for volume \"hugepage\": medium HugePages: hugePages storage requested, but there is no resource request for huge pages",
        says: [["no resource request for huge pages"], ["hugepages require cpu or memory"]],
        cause: "A volume of huge pages takes a request of that size, and with it one for memory or CPU.",
        remedy: "resources.limits with hugepages-2Mi, memory and cpu",
        checks: [],
        sources: ["Kubernetes pkg/volume/emptydir/empty_dir.go"],
    }
    "volume-permission" {
        example: "Cannot open /hugepages/rtemap_0: Permission denied",
        says: [["hugepages/", "permission denied"]],
        cause: "The kubelet mounts a volume of huge pages as root with 0755, and the container is another user.",
        remedy: "securityContext.fsGroup of the pod",
        checks: [HP302],
        sources: ["openshift-kni/cnf-features-deploy#1647", "Kubernetes 1.34: 0755 without fsGroup, 2775 with it"],
    }
    "volume-masked" {
        example: "nothing is printed: a guest's memory is on another file system than hugetlbfs",
        says: [],
        cause: "An emptyDir that is mounted within another one hides the hugetlbfs.",
        remedy: "compare file systems, not paths: HP301 asks the kernel for the type of what is there",
        checks: [HP301, HP602],
        sources: ["kubevirt/kubevirt#16393"],
    }
    "runtime-no-controller" {
        example: "failed to find hugetlb cgroup controller: hugepages are not reported",
        says: [["hugetlb cgroup controller"], ["missing cgroup", "hugetlb"]],
        cause: "The hugetlb controller is not in the kernel, not mounted, or not handed down: no limits, and older kubelets report no pages.",
        remedy: "cgroup.controllers of each level must have hugetlb; boot with cgroup_enable=hugetlb where it is turned off",
        checks: [HP401],
        sources: ["kubernetes/kubernetes#59158", "kubernetes/kubernetes#92933"],
    }
    "runtime-names" {
        example: "failed to write 0 to hugetlb.64kB.limit_in_bytes: open hugetlb.64kB.limit_in_bytes: permission denied",
        says: [["hugetlb.", "permission denied"], ["hugetlb.", "no such file or directory"]],
        cause: "The runtime makes up the names of the files, and the kernel writes that size otherwise (64KB).",
        remedy: "a newer runc",
        checks: [HP401],
        sources: ["kubernetes/kubernetes#77169"],
    }
    "runtime-idmap" {
        example: "failed to set MOUNT_ATTR_IDMAP on /var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir/hugepage: invalid argument",
        says: [["failed to set mount_attr_idmap", "invalid argument"], ["mount_attr_idmap"]],
        cause: "hostUsers: false maps the users of each volume, and hugetlbfs of this kernel cannot be mapped.",
        remedy: "hostUsers: true for this pod, memfd in place of the volume, or a newer kernel",
        checks: [HP301],
        sources: ["containers/crun#1380", "containerd/containerd#9585"],
    }
    "runtime-reservation" {
        example: "mmap: Cannot allocate memory, in a container, with pages free",
        says: [["mmap", "cannot allocate memory"]],
        cause: "Fewer pages are unreserved than asked for, or the limit on reservations is reached: runc 1.2 sets it beside the one on faults, so that \
                mmap fails where the touch was killed before.",
        remedy: "request as many pages as the program maps, or map fewer",
        checks: [HP402, HP102, HP501],
        sources: ["opencontainers/runc#4073"],
    }
    "runtime-other-pages" {
        example: "nothing is printed: a Burstable pod uses pages on a NUMA node that the memory manager gave to another",
        says: [],
        cause: "The memory manager counts Guaranteed pods alone.",
        remedy: "make every user of huge pages Guaranteed; compare free pages per NUMA node",
        checks: [HP202, HP507],
        sources: ["kubernetes/enhancements#5759", "kubernetes/kubernetes#119851"],
    }
    "runtime-twice" {
        example: "nothing is printed: a request of 8 pages of 1Gi takes 16",
        says: [],
        cause: "Not known; reported once. A frontend and a backend that each touch holes of their own files do it.",
        remedy: "compare hugetlb usage of the pod's cgroup with its request",
        checks: [HP401, HP605],
        sources: ["kubernetes/kubernetes#115581"],
    }
    "runtime-eviction" {
        example: "nothing is printed: a node with large pools is out of memory before the kubelet evicts",
        says: [],
        cause: "The eviction signal counts memory of the pools as available.",
        remedy: "raise evictionHard memory.available by the size of the pools; hugeprobe does not look at it",
        checks: [],
        sources: ["kubernetes/kubernetes#137984"],
    }
    "runtime-sandbox" {
        example: "nothing is printed: in a pod with Kata or gVisor there are no huge pages",
        says: [],
        cause: "The guest of the runtime has a kernel of its own, with pools of its own, or none.",
        remedy: "run the check in that runtime class; set pools in the guest's kernel",
        checks: [HP101],
        sources: ["kata-containers/kata-containers#3752", "google/gvisor#2713"],
    }
    "runtime-thp" {
        example: "nothing is printed: transparent huge pages are on, and hugepages-2Mi of the Node is 0",
        says: [],
        cause: "Transparent huge pages are another thing: no pool, no hugetlbfs, nothing that a pod could request.",
        remedy: "nr_hugepages, at boot or before the kubelet starts",
        checks: [HP101],
        sources: ["dummy-andra/CloudEngineerNotes: HugePages.md"],
    }
}
