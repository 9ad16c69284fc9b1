//! HP5xx: whether the counters change as the kernel documents.

checks! {
    HP501 = 501 {
        reason: "ReservationFailed",
        title: "mmap reserves the pages and allocates none",
        why: "The reservation is the kernel's guarantee that touching a page later does not end in SIGBUS.",
        how: "map N pages: the reserved count grows by N, the used count stays the same. fail: mmap is refused, or \
              the counters change in another way three times although nothing else changes them. unknown: other \
              processes hold the pages. A pass notes when other processes changed the counters.",
        remedy: "ENOMEM although pages are free means that a limit was reached: see HP402, HP303 and the cpuset of \
                 this process",
        per_size: true,
        mandatory: true,
    }
    HP502 = 502 {
        reason: "FirstTouchFailed",
        title: "writing the first byte takes one page",
        why: "This is where a workload is killed by SIGBUS: the first write charges the page to the cgroup and \
              places it on a NUMA node.",
        how: "write one byte: used +1, reserved -1, and the mapping has one page of the size. fail: EFAULT or \
              SIGBUS, or the page is not in the mapping.",
        remedy: "EFAULT or SIGBUS although pages are free means that a limit was reached: see HP401 and the cpuset \
                 of this process",
        per_size: true,
        mandatory: true,
    }
    HP503 = 503 {
        reason: "SecondTouchFailed",
        title: "writing one byte of the second page takes another whole page",
        why: "Proves that memory comes in whole pages of the size, and not in 4 KiB pages as a fallback.",
        how: "write one byte of the second page: used +1 again. skip: only one page is available.",
        remedy: "see HP502",
        per_size: true,
        mandatory: true,
    }
    HP504 = 504 {
        reason: "PagesNotReturned",
        title: "unmapping gives all pages back",
        why: "If pages do not come back, the next start fails. Some kernels are known to lose 1Gi pages.",
        how: "unmap and close: every counter is back at its value from before. fail: it is not, although no other \
              process changes them.",
        remedy: "find the process that holds the pages (HP105); if there is none, it is a kernel bug: update the \
                 kernel",
        per_size: true,
        mandatory: true,
    }
    HP505 = 505 {
        reason: "PopulateFailed",
        title: "MAP_POPULATE takes the pages at once",
        why: "DPDK, and QEMU with prealloc, populate at start. MAP_POPULATE does not report failure, so the pages \
              have to be counted.",
        how: "map N pages with MAP_POPULATE: used +N at once, and the mapping has all N; both ends and the middle \
              of each page keep what is written to them. fail: fewer pages, or different bytes are read back.",
        remedy: "see HP502",
        per_size: true,
        mandatory: true,
    }
    HP506 = 506 {
        reason: "WrongNumaNode",
        title: "pages come from the requested NUMA node",
        why: "A packet buffer on the wrong socket halves the throughput; with a strict binding, the allocation \
              fails instead.",
        how: "take one page per NUMA node with free pages, by mbind or, where that is forbidden, by running on a \
              CPU of the node; numa_maps shows where the page is. fail: mbind was used, and the page is on another \
              node although the requested one had a page. unknown: the kernel refused the node, or did not report \
              where the page is. skip: there is only one NUMA node, or a node was not tried (its free pages may be \
              reserved, or this process has no way to request it). A node outside Mems_allowed_list does not count.",
        remedy: "check the memory policy and the cpuset of this process",
        per_size: true,
        mandatory: false,
    }
    HP507 = 507 {
        reason: "NumaNodeGivesNone",
        title: "each NUMA node can provide pages",
        why: "The total does not show whether there are pages on the socket of the NIC.",
        how: "the free pages of each NUMA node, and the pages of HP506. warn: a node that has a pool provides no \
              page. unknown and skip: as HP506. It lists nodes that have pages and no CPU (HBM, CXL).",
        remedy: "move pages between the NUMA nodes: write to nr_hugepages in each node's directory",
        per_size: true,
        mandatory: false,
    }
    HP508 = 508 {
        reason: "SysVSegmentFailed",
        title: "SysV shared memory works with this size",
        why: "Databases and older DPDK applications use shmget(SHM_HUGETLB), which requires a privilege that mmap \
              does not.",
        how: "shmget, shmat, write to the page and remove it, in a separate IPC namespace. warn: refused; \
              vhost-user does not need it. skip: no privilege to create the namespace, or only one page is \
              available.",
        remedy: "put the process's group into /proc/sys/vm/hugetlb_shm_group, or give the process CAP_IPC_LOCK; \
                 check kernel.shmmax",
        per_size: true,
        mandatory: false,
    }
    HP509 = 509 {
        reason: "NeedUnmet",
        title: "--need can be met here and now",
        why: "This is the question that the workload asks: are there this many pages of this size, on this NUMA \
              node, for a process in this place?",
        how: "all of them are mapped, populated and released, those of --frontend-need and --backend-need in the \
              cgroup of the role. fail: the pages could not be allocated, no matter which process holds them. skip: \
              no --need.",
        remedy: "check what the failing step names: the pool, the NUMA node, the mount or a limit",
        per_size: true,
        mandatory: false,
    }
}
