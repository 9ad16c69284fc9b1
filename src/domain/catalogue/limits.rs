//! HP4xx: limits of this process.

checks! {
    HP401 = 401 {
        reason: "CgroupFaultLimit",
        title: "the cgroup lets this process touch the pages",
        why: "Past the hugetlb fault limit mmap still works and the first touch ends in SIGBUS. A container without a limit of \
              its own has 0.",
        how: "the least room left on the way up the cgroups, limit less usage; above what a container sees it says so and no \
              more. With --frontend-cgroup and --frontend-need, or the backend's, theirs too. fail: less than is needed, or than \
              one page. warn, without --need: less than the free pages, or room for one page alone. unknown: a limit on the way \
              cannot be read; warn, if all that is needed was had (HP509). skip: no page of this size.",
        remedy: "raise the container's hugepages limit, or the group's hugetlb limit file that is named",
        per_size: true,
        mandatory: false,
    }
    HP402 = 402 {
        reason: "CgroupReservationLimit",
        title: "the cgroup lets this process reserve the pages",
        why: "Past the hugetlb reservation limit mmap answers ENOMEM though pages are free.",
        how: "as HP401, for the reservation limit.",
        remedy: "raise the group's hugetlb reservation limit file that is named",
        per_size: true,
        mandatory: false,
    }
    HP403 = 403 {
        reason: "MemlockLimit",
        title: "RLIMIT_MEMLOCK is enough for the workload",
        why: "A workload that locks its memory (testpmd's mlockall, VFIO's pinning) is refused beyond the limit.",
        how: "never fail: testpmd goes on, and huge pages are never swapped. warn, for dpdk: swap is on, CAP_IPC_LOCK is missing and \
              the limit is less than the address space that DPDK reserves. See docs/workloads.md.",
        remedy: "raise it: ulimit -l unlimited, LimitMEMLOCK=infinity in a systemd unit",
        per_size: false,
        mandatory: false,
    }
    HP404 = 404 {
        reason: "NofileLimit",
        title: "RLIMIT_NOFILE is enough for the workload",
        why: "DPDK opens a file per page unless it is told --single-file-segments.",
        how: "for dpdk (which raises its soft limit), the hard limit. fail: less than 25, with --dir 28 and for each NUMA node 4 for \
              pages of 2Mi or 2 for 1Gi, or a soft limit under 12. warn: too few for one per page. For qemu, the soft limit. fail: \
              less than 17 and one per memory backend. In each case, those that are inherited come on top. See docs/workloads.md.",
        remedy: "raise it: ulimit -n, LimitNOFILE= in a systemd unit",
        per_size: false,
        mandatory: false,
    }
    HP405 = 405 {
        reason: "AddressSpaceLimit",
        title: "RLIMIT_AS is enough for the workload",
        why: "DPDK reserves hundreds of gigabytes of address space before it maps the first page; mmap beyond the limit is \
              ENOMEM.",
        how: "for dpdk, 64 GiB for each pair of page size and NUMA node (512 GiB at most), 112 MiB (120 with --dir) and the peer's memory. fail: less. \
              warn: less than 1 GiB more, which newer DPDK may take. For qemu with TCG, 1288 MiB and the guest. fail: less. See \
              docs/workloads.md.",
        remedy: "lift it: ulimit -v unlimited, LimitAS=infinity in a systemd unit",
        per_size: false,
        mandatory: false,
    }
    HP406 = 406 {
        reason: "FileSizeLimit",
        title: "RLIMIT_FSIZE is enough for the workload",
        why: "Growing a file beyond it is EFBIG and a SIGXFSZ that kills.",
        how: "fail: less than --need; for dpdk without --dir, less than the kernel's largest page, which DPDK asks for when its heap is \
              too small. See docs/workloads.md.",
        remedy: "lift it: ulimit -f unlimited, LimitFSIZE=infinity in a systemd unit",
        per_size: false,
        mandatory: false,
    }
    HP407 = 407 {
        reason: "SyscallForbidden",
        title: "seccomp lets the workload's system calls through",
        why: "A container's default seccomp profile forbids mbind and set_mempolicy: a workload that binds its memory to a NUMA \
              node stops, or gets it elsewhere.",
        how: "each call is tried in a process of its own, see docs/workloads.md. fail: the workload stops without the call. unknown: \
              get_mempolicy is forbidden, which DPDK survives with libnuma 2.0.19 or newer. warn: it works, on any NUMA node.",
        remedy: "allow the calls named in the seccomp profile, or give the container CAP_SYS_NICE where the profile asks for it",
        per_size: false,
        mandatory: false,
    }
    HP408 = 408 {
        reason: "CapabilityMissing",
        title: "the capabilities that the workload takes are there",
        why: "SHM_HUGETLB asks for CAP_IPC_LOCK or membership in hugetlb_shm_group; locking memory beyond RLIMIT_MEMLOCK asks \
              for CAP_IPC_LOCK.",
        how: "CapEff of this process. pass: testpmd and QEMU were seen to need none, as root and as another user. unknown: it cannot be \
              read. See docs/workloads.md.",
        remedy: "give the workload the capability named, or raise RLIMIT_MEMLOCK",
        per_size: false,
        mandatory: false,
    }
}
