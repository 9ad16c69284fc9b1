//! HP1xx: the kernel's pools.

checks! {
    HP101 = 101 {
        reason: "PoolMissing",
        title: "the kernel has a pool of this size",
        why: "Without pages of the requested size, DPDK stops at start (\"No free hugepages reported\") or uses \
              another size, and QEMU stops (\"unable to map backing store for guest RAM\").",
        how: "pass: the pool has pages, or may get some by overcommit. fail: pages of the size are required \
              (--expect, --need, --reserve, --dir of this size, --peer, the boot command line) and the kernel has \
              none, or does not offer the size. unknown: the files of the pool cannot be read, or contain no number. skip: the pool is empty \
              and none was required.",
        remedy: "reserve pages at boot (hugepagesz= and hugepages= on the kernel's command line) or write the \
                 number of pages to nr_hugepages of the size",
        per_size: true,
        mandatory: false,
    }
    HP102 = 102 {
        reason: "NoFreePage",
        title: "pages are free and not reserved",
        why: "The total of the pool is what was configured, not what is available. A page that another process \
              holds or has reserved cannot be mapped: mmap fails with ENOMEM.",
        how: "free pages minus reserved pages. unknown: none is available, and none by overcommit, so that no step \
              can be tried; with --need, HP509 decides, and this check is skipped. Pages that min_size= keeps for \
              the mount of --dir count as free. warn: one page, and some steps need two. fail: for dpdk, --need, \
              --frontend-need or --backend-need takes pages of a NUMA node without a CPU, which DPDK does not use.",
        remedy: "find the process that holds the pages (HP105), stop a workload, or enlarge the pool",
        per_size: true,
        mandatory: false,
    }
    HP103 = 103 {
        reason: "PoolNotAsExpected",
        title: "the pool matches --expect",
        why: "A pool that lost pages, or has them on the wrong NUMA node, still lets the first workload start, and \
              a later one fails.",
        how: "persistent pages (total minus surplus), in total and per NUMA node, compared with every --expect. \
              fail: not met. unknown: a counter that is needed cannot be read. skip: no --expect.",
        remedy: "set the pool of the size and NUMA node to the expected number",
        per_size: true,
        mandatory: false,
    }
    HP104 = 104 {
        reason: "FewerThanBootAsked",
        title: "the kernel reserved what the boot command line asked for",
        why: "At boot the kernel reserves as many pages as it can and does not report a shortfall: fragmented or \
              uneven memory gives fewer pages, or pages on another NUMA node (requested 0:2,1:1, got 0:0,1:3).",
        how: "persistent pages compared with hugepages= of each size, as the kernel reads it (the first one of a \
              size counts; one without a size is for the default size), in total and per NUMA node. fail: fewer. \
              warn: fewer, but every --expect for the size is met, and --expect takes precedence. skip: the command \
              line requests no page of this size.",
        remedy: "free or defragment memory before the pool is set, or request no more than each NUMA node can \
                 provide",
        per_size: true,
        mandatory: false,
    }
    HP105 = 105 {
        reason: "PagesHeldByNobody",
        title: "every page in use has an owner",
        why: "A DPDK process that crashes leaves its rtemap files behind, and a SysV segment remains after the \
              process that created it: the pages are in use, and no process owns them.",
        how: "files with pages, on the hugetlbfs of any mount namespace, that no process has open or mapped \
              according to the kernel (it grants a lease only on such files; where it has no leases, files that no \
              process has open, mapped or locked); and SysV segments to which no process is attached. fail: there \
              are such pages, and no free page. warn: there are such pages, and free ones too; or pages are in use \
              and no owner was found. pass: every page in use was traced to an owner; or no file and no segment \
              has pages without a user, which is all that is looked at while enough pages are available (what \
              processes map is read where pages are short, after a failure, and with --only HP105). skip: some were \
              not traced, and not every process is visible; the missing privilege is named.",
        remedy: "remove the named files, or start their owner again",
        per_size: true,
        mandatory: false,
    }
    HP106 = 106 {
        reason: "PoolOnSurplus",
        title: "the pool consists of persistent pages",
        why: "Surplus pages (overcommit) are taken from ordinary memory on demand and given back when freed: they \
              may not be available the next time, and Kubernetes does not count them.",
        how: "warn: there are surplus pages, or the only available pages are overcommit. fail: for dpdk, some pages \
              are free, but fewer than --need, --frontend-need or --backend-need: DPDK uses overcommit only where \
              no page is free, and not for a NUMA node other than 0. skip: no page at all.",
        remedy: "make the pool as large as the workloads need, and set nr_overcommit_hugepages to 0",
        per_size: true,
        mandatory: false,
    }
    HP107 = 107 {
        reason: "CpuLacks1Gi",
        title: "the CPU supports pages of 1 GiB",
        why: "An x86 CPU needs the flag pdpe1gb for them; a virtual machine often hides it, and then no kernel \
              offers the size.",
        how: "for 1Gi on x86. fail: the flag is missing and 1Gi is required. skip: another size, another CPU, or \
              1Gi is not required.",
        remedy: "in a virtual machine, give the guest the host's CPU model (QEMU: -cpu host, or +pdpe1gb)",
        per_size: true,
        mandatory: false,
    }
    HP108 = 108 {
        reason: "PoisonedMemory",
        title: "the kernel has found no broken memory",
        why: "A page with a memory error stays in its file; the next process that touches it is killed by SIGBUS \
              (BUS_MCEERR_AR).",
        how: "HardwareCorrupted in /proc/meminfo. warn: more than 0. skip: the kernel does not look for memory \
              errors.",
        remedy: "search the kernel's log for memory errors (\"Memory failure\") and replace the memory module",
        per_size: false,
        mandatory: false,
    }
    HP109 = 109 {
        reason: "ReserveFellShort",
        title: "--reserve got the requested number of pages",
        why: "The kernel adds as many pages as it can; a check on fewer pages than requested covers less.",
        how: "warn: fewer pages than requested; both numbers are given. skip: no --reserve.",
        remedy: "free memory, drop caches and compact memory (/proc/sys/vm/drop_caches, \
                 /proc/sys/vm/compact_memory), then try again",
        per_size: true,
        mandatory: false,
    }
}
