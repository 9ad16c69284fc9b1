//! What the kernel logs (dmesg), what it answers to mount, and what a shell says of a process that it killed.

super::troubles! {
    "bus-error" {
        example: "bash: line 4: 25193 Bus error               (core dumped) postgres",
        says: [["bus error"], ["signal 7"], ["sigbus"], ["exit code 135"], ["exited with code 135"], ["exit status 135"]],
        cause: "A page was touched that could not be had. mmap had succeeded: the pool seemed to have pages, and the limit of the \
                cgroup did not allow this one. A container without a request for this size has a limit of 0, privileged or not, \
                and whatever pools it sees; a kubelet that was started before the pool was set leaves a parent with a limit of 0.",
        remedy: "request hugepages of this very size, restart the kubelet after pools were changed; HP401 names the level of the \
                 cgroup path that limits",
        checks: [HP401, HP502, HP402],
        sources: [
            "kubernetes/kubernetes#99483", "kubernetes/kubernetes#71233", "opencontainers/runtime-spec#1116", "spdk/spdk#597",
            "networkservicemesh/networkservicemesh#757", "a touch under hugetlb.2MB.max=0",
        ],
    }
    "kernel-fewer" {
        example: "HugeTLB: allocating 32 of page size 1.00 GiB failed.  Only allocated 19 hugepages.",
        says: [["hugetlb: allocating", "failed", "only allocated"]],
        cause: "The boot command line asked for more pages than there was unbroken memory for, on one NUMA node or on all.",
        remedy: "ask for fewer, or per node (hugepages=0:8,1:8), and leave each node some memory of its own",
        checks: [HP104, HP103],
        sources: ["Linux mm/hugetlb.c", "openshift-kni/performance-addon-operators#279"],
    }
    "kernel-fewer-silent" {
        example: "nothing is printed: 1024 pages were written to nr_hugepages, and it reads 185",
        says: [],
        cause: "Memory is too short or too broken up. The kernel gives what it can and says nothing; nodes that have none are \
                passed over.",
        remedy: "set pools at boot; or echo 3 > /proc/sys/vm/drop_caches, echo 1 > /proc/sys/vm/compact_memory, and write again",
        checks: [HP103, HP104],
        sources: ["opiproject/opi-poc#131", "Linux Documentation/admin-guide/mm/hugetlbpage.rst"],
    }
    "kernel-boot-option" {
        example: "HugeTLB: unsupported hugepagesz=1G",
        says: [["unsupported hugepagesz"], ["hugepages", "invalid", "command line"], ["hugetlb: invalid hugepages"]],
        cause: "The CPU has no pages of that size, or the command line is not understood.",
        remedy: "look for pdpe1gb in /proc/cpuinfo; write hugepagesz= before the hugepages= that belongs to it",
        checks: [HP107, HP104],
        sources: ["Linux mm/hugetlb.c"],
    }
    "kernel-page-size" {
        example: "hugetlbfs: Unsupported page size 3 MB",
        says: [["hugetlbfs: unsupported page size"], ["hugetlbfs: bad value"]],
        cause: "pagesize=, size=, min_size= or nr_inodes= of a mount is nothing that the kernel knows.",
        remedy: "pagesize=2M or pagesize=1G, one that /sys/kernel/mm/hugepages has",
        checks: [HP101, HP301],
        sources: ["mount -o pagesize=3M"],
    }
    "mount-min-size" {
        example: "mount: /mnt/huge: mount(2) system call failed: Cannot allocate memory.",
        says: [["mount(2) system call failed: cannot allocate memory"]],
        cause: "min_size= of a hugetlbfs asks for more pages than are free: they are reserved by the mount itself.",
        remedy: "a smaller min_size=, or more pages first",
        checks: [HP102, HP303],
        sources: ["mount -o min_size=64G", "Linux Documentation/admin-guide/mm/hugetlbpage.rst"],
    }
    "mount-option" {
        example: "mount: /mnt/huge: wrong fs type, bad option, bad superblock on none, missing codepage or helper program, or other error.",
        says: [["wrong fs type, bad option, bad superblock on"]],
        cause: "mount cannot tell; for a hugetlbfs it is an option that the kernel does not know, and dmesg says which.",
        remedy: "dmesg | grep hugetlbfs",
        checks: [HP301, HP101],
        sources: ["mount -o pagesize=3M"],
    }
    "kernel-poison" {
        example: "Memory failure: 0x12345: recovery action for huge page: Recovered",
        says: [["memory failure: 0x"], ["hardware memory corruption"], ["mce: killing"]],
        cause: "A memory module is failing, and a page, or a process that had it, was given up.",
        remedy: "replace the memory; the pool is smaller until the next boot",
        checks: [HP108],
        sources: ["Linux mm/memory-failure.c"],
    }
    "kernel-shm" {
        example: "hugetlbfs: exe (28485): Using mlock ulimits for SHM_HUGETLB is obsolete",
        says: [["using mlock ulimits for shm_hugetlb"], ["shmget", "operation not permitted"], ["shmget", "permission denied"]],
        cause: "SysV segments of huge pages take CAP_IPC_LOCK, or a group that vm.hugetlb_shm_group names.",
        remedy: "sysctl vm.hugetlb_shm_group to the group of the program, or let it use memfd or files",
        checks: [HP508],
        sources: ["https://kubernetes.io/docs/tasks/manage-hugepages/scheduling-hugepages/", "shmget under a limit"],
    }
    "kernel-memlock" {
        example: "vfio_pin_pages_remote: RLIMIT_MEMLOCK (4194304) exceeded",
        says: [["rlimit_memlock", "exceeded"]],
        cause: "A device assigned by VFIO has all of the guest's memory pinned, and RLIMIT_MEMLOCK is below that.",
        remedy: "ulimit -l to the guest's memory and some more, or unlimited",
        checks: [HP403],
        sources: ["cloud-hypervisor/cloud-hypervisor#165"],
    }
    "kernel-dma-entries" {
        example: "nothing is printed: VFIO maps the first 128 GiB of a pool of 2Mi and no more",
        says: [],
        cause: "VFIO has 65535 mappings for a container, and each page of 2Mi takes one.",
        remedy: "pages of 1Gi, or dma_entry_limit of vfio_iommu_type1; hugeprobe does not look at VFIO",
        checks: [],
        sources: ["spdk/spdk#915"],
    }
    "kernel-cpuset" {
        example: "nothing is printed by mmap: it succeeds, and the first touch is killed, under a cpuset",
        says: [],
        cause: "A reservation counts pages of all NUMA nodes, a touch those of the nodes that cpuset.mems allows.",
        remedy: "add pages to the allowed nodes, or widen cpuset.mems",
        checks: [HP507, HP506, HP502],
        sources: ["Linux mm/hugetlb.c, comment in hugetlb_acct_memory()"],
    }
    "kernel-surplus" {
        example: "nothing is printed: nr_hugepages is not what was written, and surplus_hugepages is above 0",
        says: [],
        cause: "The pool was shrunk below what is in use, or overcommit let it grow: pages count as surplus until they are freed. \
                Writing nr_hugepages back as it reads makes them permanent.",
        remedy: "free the pages, then write the number that is wanted; mind nr_overcommit_hugepages",
        checks: [HP106, HP103],
        sources: ["deepin-community/kernel#1912", "Linux Documentation/admin-guide/mm/hugetlbpage.rst"],
    }
    "kernel-stolen" {
        example: "nothing is printed: the pool is as configured, and its pages are in use before the workload starts",
        says: [],
        cause: "A program that takes huge pages where it finds some was first: databases, JVMs and language runtimes do.",
        remedy: "`hugeprobe check` as root names who holds them; turn it off there, or give it a limit of 0",
        checks: [HP102],
        sources: ["openebs/mayastor#513"],
    }
    "kernel-not-freed" {
        example: "nothing is printed: a quarter of the pages of 1Gi is not given back when a guest ends",
        says: [],
        cause: "Reported of kernels 6.6 to 6.8.",
        remedy: "another kernel; HP504 sees pages that do not come back",
        checks: [HP504],
        sources: ["void-linux/void-packages#49269"],
    }
    "selinux" {
        example: "type=AVC msg=audit(1.1:1): avc:  denied  { map } for  pid=1 comm=\"tgtd\" tcontext=system_u:object_r:hugetlbfs_t:s0 tclass=file",
        says: [["avc:", "denied", "hugetlbfs_t"], ["avc:", "denied", "huge"]],
        cause: "SELinux forbids the program this on a hugetlbfs.",
        remedy: "label the mount (context=) or allow it in the policy",
        checks: [HP302, HP601],
        sources: ["ceph/ceph#28290", "kubevirt/kubevirt#8598"],
    }
    "apparmor-lock" {
        example: "audit: type=1400 apparmor=\"DENIED\" operation=\"file_lock\" profile=\"snap.dpdk\" name=\"/dev/hugepages/rtemap_0\" requested_mask=\"k\"",
        says: [["apparmor=\"denied\"", "operation=\"file_lock\""], ["apparmor=\"denied\"", "hugepages"]],
        cause: "The profile lacks the right to lock files there (`k`), and DPDK locks each of its files.",
        remedy: "add `/dev/hugepages/** rwk,` to the profile, or use --in-memory",
        checks: [HP302],
        sources: ["canonical/snapd#8271"],
    }
    "apparmor-receive" {
        example: "audit: type=1400 apparmor=\"DENIED\" operation=\"file_receive\" profile=\"lxd-c1\" name=\"/memfd:hugepages\"",
        says: [["apparmor=\"denied\"", "operation=\"file_receive\""]],
        cause: "AppArmor looks at descriptors that are handed over a socket, and forbids this one.",
        remedy: "let the backend's profile read and write such files",
        checks: [HP601],
        sources: ["lxc/incus#952"],
    }
    "kernel-sysfs" {
        example: "cat: /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages: Permission denied",
        says: [["/sys/kernel/mm/hugepages", "permission denied"], ["/sys/kernel/mm/hugepages", "read-only file system"]],
        cause: "A security module hides the pools, or sysfs is read-only as it is in containers, privileged ones too.",
        remedy: "set pools from the host; hugeprobe says unknown of what it cannot read, and never 0",
        checks: [HP101, HP102],
        sources: ["justintime/nagios-plugins#31"],
    }
}
