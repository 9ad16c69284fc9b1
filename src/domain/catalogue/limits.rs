//! HP4xx: limits of this process, and of the cgroups of others.

checks! {
    HP401 = 401 {
        reason: "CgroupFaultLimit",
        title: "the cgroup lets this process use the pages",
        why: "Beyond the hugetlb fault limit, mmap still succeeds and the first write ends in SIGBUS. A container \
              without a hugepages limit has a limit of 0. Where cgroup v2 is mounted with memory_hugetlb_accounting \
              (Linux 6.7), huge pages count against memory.max too, and a write beyond that limit hangs.",
        how: "the least free room (limit minus usage) of this cgroup and all its parents. In a container, parents \
              above its own cgroup are not visible; the result says so. With memory_hugetlb_accounting, also the \
              least room below memory.max; page cache counts as room that the kernel has to reclaim first: warn. \
              With --frontend-cgroup and --frontend-need, or those of the backend, the cgroups of the roles as \
              well. fail: less room than needed, or than one page. warn, without --need: less room than free pages, \
              or room for only one page. unknown: a limit of one of the cgroups cannot be read; warn instead, if \
              everything that is needed could be allocated (HP509). skip: no page of this size.",
        remedy: "raise the container's hugepages limit, or the hugetlb limit file of the cgroup that is named",
        per_size: true,
        mandatory: false,
    }
    HP402 = 402 {
        reason: "CgroupReservationLimit",
        title: "the cgroup lets this process reserve the pages",
        why: "Beyond the hugetlb reservation limit, mmap fails with ENOMEM although pages are free.",
        how: "as HP401, for the reservation limit.",
        remedy: "raise the hugetlb reservation limit file of the cgroup that is named",
        per_size: true,
        mandatory: false,
    }
    HP403 = 403 {
        reason: "MemlockLimit",
        title: "RLIMIT_MEMLOCK is enough for the workload",
        why: "If a workload locks memory beyond the limit (mlockall in testpmd, pinning by VFIO), the kernel \
              refuses it.",
        how: "never fail: testpmd continues, and huge pages are never swapped. warn, for dpdk: swap is on, \
              CAP_IPC_LOCK is missing and the limit is less than the address space that DPDK reserves. See \
              docs/reference/workloads.md.",
        remedy: "raise the limit: ulimit -l unlimited, LimitMEMLOCK=infinity in a systemd unit",
        per_size: false,
        mandatory: false,
    }
    HP404 = 404 {
        reason: "NofileLimit",
        title: "RLIMIT_NOFILE is enough for the workload",
        why: "DPDK opens one file per page unless it runs with --single-file-segments.",
        how: "for dpdk (which raises its soft limit), the hard limit counts. fail: less than 25, or with --dir less \
              than 28 plus, for each NUMA node, 4 for pages of 2Mi or 2 for 1Gi; or a soft limit below 12. warn: \
              too few for one per page. For ovs, less than 59 plus one per page fails. For qemu, the soft limit counts. fail: less than 17 plus one per memory \
              backend. In each case, inherited descriptors are added. See docs/reference/workloads.md.",
        remedy: "raise the limit: ulimit -n, LimitNOFILE= in a systemd unit",
        per_size: false,
        mandatory: false,
    }
    HP405 = 405 {
        reason: "AddressSpaceLimit",
        title: "the workload can have its address space and its private memory",
        why: "DPDK reserves hundreds of gigabytes of address space before it maps the first page; beyond the limit, \
              mmap fails with ENOMEM. RLIMIT_DATA limits private memory that can be written, the stacks of threads \
              among it: beyond it, threads cannot be created. With vm.overcommit_memory=2 that memory counts against \
              CommitLimit of /proc/meminfo, together with that of all other processes.",
        how: "for dpdk, 64 GiB for each pair of page size and NUMA node (512 GiB at most), plus 112 MiB (120 MiB \
              with --dir) and the peer's memory. fail: the limit is less. warn: it is not 1 GiB more, which newer \
              DPDK may need. For qemu with TCG, 1288 MiB plus the guest's memory. fail: the limit is less. \
              RLIMIT_DATA: fail: less than 53 MiB for dpdk (61 MiB with --dir), 31 MiB and 8 MiB for each thread but one for \
              ovs, 75 MiB for qemu. unknown: less than 1066 MiB for qemu, which TCG needs. warn: less than 2 GiB. The stack of \
              each thread is as large as RLIMIT_STACK, and is counted in these numbers as 8 MiB: with another limit they \
              differ. With vm.overcommit_memory=2, as much private memory is mapped for a moment. fail: the kernel refuses it. \
              See docs/reference/workloads.md.",
        remedy: "remove the limits: ulimit -v unlimited -d unlimited; LimitAS=infinity and LimitDATA=infinity in a systemd unit; \
                 vm.overcommit_memory=0, or a larger vm.overcommit_ratio",
        per_size: false,
        mandatory: false,
    }
    HP406 = 406 {
        reason: "FileSizeLimit",
        title: "RLIMIT_FSIZE is enough for the workload",
        why: "A write or ftruncate that grows a file beyond the limit fails with EFBIG and sends SIGXFSZ, which \
              kills the process.",
        how: "fail: the limit is less than --need; for dpdk without --dir, less than the kernel's largest page, \
              which DPDK allocates when its heap is too small. See docs/reference/workloads.md.",
        remedy: "remove the limit: ulimit -f unlimited, LimitFSIZE=infinity in a systemd unit",
        per_size: false,
        mandatory: false,
    }
    HP407 = 407 {
        reason: "SyscallForbidden",
        title: "seccomp allows the workload's system calls",
        why: "The default seccomp profile of a container forbids mbind and set_mempolicy: a workload that binds its \
              memory to a NUMA node stops, or gets memory from another node.",
        how: "each call is made in a separate process, see docs/reference/workloads.md.",
        remedy: "allow the named calls in the seccomp profile, or give the container CAP_SYS_NICE where the profile \
                 requires it",
        per_size: false,
        mandatory: false,
    }
    HP408 = 408 {
        reason: "CapabilityMissing",
        title: "the process has the capabilities that the workload needs",
        why: "SHM_HUGETLB requires CAP_IPC_LOCK or membership in hugetlb_shm_group; locking memory beyond \
              RLIMIT_MEMLOCK requires CAP_IPC_LOCK.",
        how: "CapEff of this process. pass: in tests, testpmd and QEMU needed no capability, neither as root nor as \
              another user. unknown: CapEff cannot be read. See docs/reference/workloads.md.",
        remedy: "give the workload the named capability, or raise RLIMIT_MEMLOCK",
        per_size: false,
        mandatory: false,
    }
    HP409 = 409 {
        reason: "ThreadLimit",
        title: "the workload can create its threads",
        why: "A DPDK or QEMU process has several threads. pids.max of the cgroup (podPidsLimit of the kubelet), \
              RLIMIT_NPROC and kernel.threads-max limit them, and beyond a limit the workload stops at start.",
        how: "a separate process creates as many threads as the workload has, see docs/reference/workloads.md. \
              fail: the kernel refuses one with EAGAIN. unknown: it refuses one with another error.",
        remedy: "raise pids.max of the cgroup (in Kubernetes, podPidsLimit of the kubelet), RLIMIT_NPROC (ulimit -u) \
                 or kernel.threads-max, whichever is lowest",
        per_size: false,
        mandatory: false,
    }
    HP410 = 410 {
        reason: "MemoryLimit",
        title: "the memory limit of the cgroup leaves room for the workload",
        why: "A workload needs ordinary memory beside its huge pages: code, heap, stacks, page tables. Beyond the \
              memory limit of the cgroup the kernel kills it.",
        how: "the least room below the memory limits of this cgroup and its parents, with all that the kernel can \
              reclaim, compared with the least memory that the workload was seen to start with, which depends on \
              RLIMIT_STACK if mlockall allocates the stacks; see docs/reference/workloads.md. A role with \
              --frontend-cgroup or --backend-cgroup is compared with that cgroup. Where a limit is hidden, as those of \
              parents are in a container, as much memory is charged for a moment, in blocks for which the kernel kills \
              no process. fail: less room. warn: not 64 MiB more, for the program's files if mlockall keeps them in \
              memory; or the limit of a role cannot be read; or memory.high leaves less room, above which the kernel \
              slows the workload down. unknown: a limit can neither be read nor tried.",
        remedy: "raise the memory limit of the container, or the file that is named",
        per_size: false,
        mandatory: false,
    }
    HP411 = 411 {
        reason: "MappingLimit",
        title: "vm.max_map_count lets the workload map its pages",
        why: "DPDK maps each page separately. Beyond vm.max_map_count (65530 by default, 128 GiB in pages of 2Mi) \
              mmap fails, and DPDK gets less memory than it asks for.",
        how: "a separate process creates as many mappings as the workload has with --need, see \
              docs/reference/workloads.md. fail: the kernel refuses one with ENOMEM. skip: qemu, which maps its memory \
              in one piece.",
        remedy: "raise the limit: sysctl -w vm.max_map_count=NUMBER; or use larger pages",
        per_size: false,
        mandatory: false,
    }
    HP412 = 412 {
        reason: "MemoryTableLimit",
        title: "the frontend's memory fits into a memory table",
        why: "A vhost-user memory table has at most 8 regions, and each region is a file. A DPDK frontend without \
              --single-file-segments has a file for each page: with more than 8 pages it starts, and passes no frames.",
        how: "the pages of --frontend-need with --workload dpdk:file-per-page. fail: more than 8.",
        remedy: "start the frontend with --single-file-segments, or give it larger pages",
        per_size: false,
        mandatory: false,
    }
    HP413 = 413 {
        reason: "ParentCgroupLimitZero",
        title: "no cgroup that may use pages is below a limit of 0",
        why: "A page is charged to a cgroup and to all its parents. If the limit of a parent is 0, the first write to a \
              page ends in SIGBUS, or mmap fails with ENOMEM, although the limit of the container allows the page. \
              This happens to a running pod: after an in-place resize of its CPU or memory, the kubelet writes 0 as \
              the hugetlb limit of the pod's cgroup (kubernetes/kubernetes#141991).",
        how: "the fault and reservation limits of all cgroups in the hierarchy. In Kubernetes, the agent reads those of \
              the host, with the privileged profile. warn: a cgroup has a limit above 0, and a parent has the limit 0. \
              It is normal that a cgroup below a limit of 0 has no limit, or 0. skip: a part of the hierarchy cannot \
              be read, as in a container, and the rest has no conflict; or no page of this size.",
        remedy: "delete the pod that is named, so that its controller creates a new one. If a cgroup is named that is \
                 not a pod's, raise the limit of its parent",
        per_size: true,
        mandatory: false,
    }
    HP414 = 414 {
        reason: "NoCpuInSysfs",
        title: "DPDK and Open vSwitch find their CPUs",
        why: "DPDK uses only CPUs that have topology/core_id in /sys/devices/system/cpu, and stops at start if it finds \
              none. Open vSwitch also takes its CPUs from /sys/devices/system/node: without one it starts, and passes no \
              frames. Both happen where a container or a sandbox hides these directories.",
        how: "the files of the CPUs that this process may use, and for ovs the CPUs of the NUMA nodes. fail: none is \
              there. skip: a captured tree that does not contain them.",
        remedy: "let the workload see /sys/devices/system/cpu and /sys/devices/system/node, read-only is enough",
        per_size: false,
        mandatory: false,
    }
    HP415 = 415 {
        reason: "CpuTimeLimit",
        title: "no limit of CPU time ends the workload",
        why: "RLIMIT_CPU limits the CPU time of a process since its start. DPDK polls and therefore uses a second of it \
              each second on each of its CPUs, with and without frames. The kernel then kills it with SIGXCPU.",
        how: "RLIMIT_CPU of this process, which the workload inherits. fail: dpdk and ovs with any limit. warn: qemu with \
              any limit.",
        remedy: "remove the limit: ulimit -t unlimited, LimitCPU=infinity in a systemd unit",
        per_size: false,
        mandatory: false,
    }
}
