//! HP1xx: the kernel's pools.

checks! {
    HP101 = 101 {
        reason: "PoolMissing",
        title: "there is a pool of this size",
        why: "Without pages of the size it asks for, DPDK stops at start (\"No free hugepages reported\") or takes \
              another size, and QEMU stops (\"unable to map backing store for guest RAM\").",
        how: "pass: the pool has pages, or may take some by overcommit. fail: pages of the size were asked for (--expect, \
              --need, --reserve, the boot command line) and the kernel has none, or does not offer the size. unknown: the \
              pool's files cannot be read, or hold no number. skip: nothing there and nothing asked for.",
        remedy: "reserve pages at boot (hugepagesz= and hugepages= on the kernel's command line) or write their number \
                 to nr_hugepages of the size",
        per_size: true,
        mandatory: false,
    }
    HP102 = 102 {
        reason: "NoFreePage",
        title: "pages are free and promised to nobody",
        why: "The pool's total says what was configured, not what can be had. A page that another process holds or has \
              reserved cannot be mapped: mmap answers ENOMEM.",
        how: "free less reserved pages. unknown: none, and none to be had by overcommit, so that nothing can be tried; with \
              --need that is HP509's to judge, and this is a skip. What min_size= keeps for the mount of --dir counts as free. \
              warn: one page, and some steps take two.",
        remedy: "find who holds the pages (HP105), stop a workload, or enlarge the pool",
        per_size: true,
        mandatory: false,
    }
    HP103 = 103 {
        reason: "PoolNotAsExpected",
        title: "the pool is what --expect says",
        why: "A pool that lost pages, or has them on the wrong NUMA node, still starts the first workload and fails a \
              later one.",
        how: "persistent pages (total less surplus), in total and per NUMA node, against every --expect. fail: not met. \
              unknown: a counter that it is about cannot be read. skip: nothing expected.",
        remedy: "set the pool of the size and NUMA node to the number expected",
        per_size: true,
        mandatory: false,
    }
    HP104 = 104 {
        reason: "FewerThanBootAsked",
        title: "the kernel reserved what the boot command line asked for",
        why: "At boot the kernel takes what it can get and says nothing: fragmented or uneven memory gives fewer pages, or \
              pages on another NUMA node (asked for 0:2,1:1, got 0:0,1:3).",
        how: "persistent pages against hugepages= of each size, as the kernel reads it (the first one of a size stands; one \
              without a size is the default size's), in total and per NUMA node. fail: fewer. warn: fewer, but every --expect \
              about the size is met, which has the last word. skip: the command line asks for none of this size.",
        remedy: "free or defragment memory before the pool is set, or ask for what the NUMA nodes can give",
        per_size: true,
        mandatory: false,
    }
    HP105 = 105 {
        reason: "PagesHeldByNobody",
        title: "no page is held by a file or segment that nobody uses",
        why: "A DPDK process that dies leaves its rtemap files behind, and a SysV segment outlives its maker: the pages are \
              taken, and no process owns them.",
        how: "files with pages on the hugetlbfs of any mount namespace that the kernel says nobody has open or mapped (it grants a \
              lease on no other; where it has no leases, those that no process has open, mapped or locked); SysV segments \
              without a process attached. fail: such pages, and no free one. warn: such pages, and free ones too; or pages in \
              use that nobody was found to hold. pass: every page in use was traced to an owner. skip: some were not, and \
              not every process could be seen; the missing right is named.",
        remedy: "remove the files named, or start their owner again",
        per_size: true,
        mandatory: false,
    }
    HP106 = 106 {
        reason: "PoolOnSurplus",
        title: "the pool stands on persistent pages",
        why: "Surplus pages (overcommit) are taken from ordinary memory when somebody asks, and given back when freed: they \
              may not be there the next time, and Kubernetes does not count them.",
        how: "warn: there are surplus pages, or the only pages to be had are overcommit. skip: no page at all.",
        remedy: "make the pool as large as the workloads need, and nr_overcommit_hugepages 0",
        per_size: true,
        mandatory: false,
    }
    HP107 = 107 {
        reason: "CpuLacks1Gi",
        title: "the CPU has pages of 1 GiB",
        why: "x86 has them only with the flag pdpe1gb; a virtual machine often hides it, and then no kernel offers the size.",
        how: "for 1Gi on x86. fail: the flag is missing and 1Gi was asked for. skip: another size, another CPU, or nobody asked.",
        remedy: "in a virtual machine, give the guest the host's CPU model (QEMU: -cpu host, or +pdpe1gb)",
        per_size: true,
        mandatory: false,
    }
    HP108 = 108 {
        reason: "PoisonedMemory",
        title: "the kernel has put no memory aside as broken",
        why: "A page with a memory error stays in its file; whoever touches it next is killed by SIGBUS (BUS_MCEERR_AR).",
        how: "HardwareCorrupted in /proc/meminfo. warn: more than 0. skip: a kernel that does not look for memory errors.",
        remedy: "look for memory errors in the kernel's log (\"Memory failure\") and replace the module",
        per_size: false,
        mandatory: false,
    }
    HP109 = 109 {
        reason: "ReserveFellShort",
        title: "--reserve got the pages it asked for",
        why: "The kernel gives what it can get; a check on fewer pages than asked for says less.",
        how: "warn: fewer pages than asked, with both numbers. skip: no --reserve.",
        remedy: "free memory, drop caches and compact it (/proc/sys/vm/drop_caches, /proc/sys/vm/compact_memory), then try again",
        per_size: true,
        mandatory: false,
    }
}
