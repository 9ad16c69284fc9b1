//! HP5xx: the counters move as the kernel documents.

checks! {
    HP501 = 501 {
        reason: "ReservationFailed",
        title: "mmap reserves the pages and allocates none",
        why: "The reservation is the promise that a later touch will not be a SIGBUS.",
        how: "map N pages: reserved grows by N, used pages stay. fail: mmap is refused, or the counters move otherwise three \
              times though nothing else moves them. unknown: others have the pages. Counters that others moved are noted in a \
              pass.",
        remedy: "ENOMEM with free pages at hand is a limit: see HP402, HP303 and the cpuset of this process",
        per_size: true,
        mandatory: true,
    }
    HP502 = 502 {
        reason: "FirstTouchFailed",
        title: "the first byte takes one page",
        why: "This is where a workload dies of SIGBUS: the touch is charged to the cgroup, and placed on a NUMA node.",
        how: "write one byte: used +1, reserved -1, and the mapping holds one page of the size. fail: EFAULT or SIGBUS, or the \
              page is not there.",
        remedy: "EFAULT or SIGBUS with free pages at hand is a limit: see HP401 and the cpuset of this process",
        per_size: true,
        mandatory: true,
    }
    HP503 = 503 {
        reason: "SecondTouchFailed",
        title: "one byte of the next page takes a whole page",
        why: "Proves that memory comes in whole pages of the size, not in the 4 KiB of a fallback.",
        how: "write one byte of the second page: used +1 again. skip: only one page to be had.",
        remedy: "see HP502",
        per_size: true,
        mandatory: true,
    }
    HP504 = 504 {
        reason: "PagesNotReturned",
        title: "release gives all back",
        why: "Pages that do not come back make the next start fail: kernels were seen to lose 1Gi pages.",
        how: "unmap and close: every counter is as before. fail: it is not, though nobody else moves them.",
        remedy: "find who holds the pages (HP105); else it is the kernel's fault: update it",
        per_size: true,
        mandatory: true,
    }
    HP505 = 505 {
        reason: "PopulateFailed",
        title: "MAP_POPULATE takes the pages at once",
        why: "DPDK and QEMU with prealloc populate at start. MAP_POPULATE fails without a word; the pages must be counted.",
        how: "map N pages with MAP_POPULATE: used +N at once, all N held by the mapping; each end and the middle of each page \
              keeps what is written. fail: fewer, or other bytes come back.",
        remedy: "see HP502",
        per_size: true,
        mandatory: true,
    }
    HP506 = 506 {
        reason: "WrongNumaNode",
        title: "pages land on the NUMA node asked for",
        why: "A packet buffer on the wrong socket halves the throughput; a strict binding fails instead.",
        how: "one page per NUMA node with free pages, by mbind or, where that is forbidden, by running on a CPU of the node; \
              numa_maps tells where it landed. fail: bound by mbind, it landed elsewhere though the node had a page. unknown: the \
              kernel refused the node, or did not say where the page landed. skip: one NUMA node, or a node that was not asked \
              (its free pages may be reserved, or this process has no means to ask). A node outside Mems_allowed_list does not \
              count.",
        remedy: "see the memory policy and the cpuset of this process",
        per_size: true,
        mandatory: false,
    }
    HP507 = 507 {
        reason: "NumaNodeGivesNone",
        title: "each NUMA node can give some",
        why: "The total says nothing about the socket where the NIC is.",
        how: "free pages of each NUMA node, and HP506's pages. warn: a node with a pool gives none. unknown and skip: as HP506. It \
              names nodes that have pages and no CPU (HBM, CXL).",
        remedy: "move pages between the NUMA nodes: nr_hugepages under each node's directory",
        per_size: true,
        mandatory: false,
    }
    HP508 = 508 {
        reason: "SysVSegmentFailed",
        title: "SysV shared memory works with this size",
        why: "Databases and older DPDK applications use shmget(SHM_HUGETLB), which asks for a right that mmap does not.",
        how: "shmget, shmat, touch and remove, in an IPC namespace of its own. warn: refused; vhost-user does not need it. skip: \
              no right to make the namespace, or only one page to be had.",
        remedy: "put the process's group into /proc/sys/vm/hugetlb_shm_group, or give it CAP_IPC_LOCK; see kernel.shmmax",
        per_size: true,
        mandatory: false,
    }
    HP509 = 509 {
        reason: "NeedUnmet",
        title: "--need can be met here and now",
        why: "This is the workload's own question: so many pages of this size, on this NUMA node, in this place.",
        how: "all of them are mapped, populated and released, those of --frontend-need and --backend-need in the role's cgroup. \
              fail: they could not be had, whoever holds them. skip: no --need.",
        remedy: "see what the failing step names: the pool, the NUMA node, the mount or a limit",
        per_size: true,
        mandatory: false,
    }
}
