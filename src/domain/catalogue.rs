//! The checks, by name: the one source of `hugeprobe explain`, docs/checks.md, hints, event reasons and alert texts.
//!
//! Ids never change meaning; a check that goes away leaves its number unused.

use super::check::CheckId;

/// One check of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its id.
    pub id: CheckId,
    /// What is wrong when it does not pass, in CamelCase: an event's reason.
    pub reason: &'static str,
    /// What holds when it passes, in a few words.
    pub title: &'static str,
    /// Why a vhost-user workload cares: what it would do otherwise.
    pub why: &'static str,
    /// How it is decided, outcome by outcome.
    pub how: &'static str,
    /// What to do when it does not pass, where a finding has nothing more exact to say.
    pub remedy: &'static str,
    /// Whether there is one result per page size, or one for the machine.
    pub per_size: bool,
    /// Whether a size can pass without it.
    pub mandatory: bool,
}

/// A group of checks: a line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// The first digit of its ids.
    pub digit: u16,
    /// Its name in the table.
    pub name: &'static str,
    /// What it is about.
    pub title: &'static str,
}

/// The groups, in the order of the table.
pub const GROUPS: &[Group] = &[
    Group { digit: 1, name: "pool", title: "The kernel's pools" },
    Group { digit: 3, name: "mount", title: "The hugetlbfs mount" },
    Group { digit: 4, name: "limits", title: "Limits of this process" },
    Group { digit: 5, name: "allocation", title: "Allocation: the counters move as the kernel documents" },
    Group { digit: 6, name: "sharing", title: "Sharing, as vhost-user does it" },
    Group { digit: 7, name: "measured", title: "Measured, for information" },
];

macro_rules! checks {
    ($($name:ident = $number:literal { $($field:ident: $value:expr),+ $(,)? })+) => {
        $(
            #[doc = concat!("HP", stringify!($number), ", see [`CHECKS`].")]
            pub const $name: CheckId = CheckId::new($number);
        )+

        /// Every check, by number.
        pub const CHECKS: &[Check] = &[$(Check { id: $name, $($field: $value),+ }),+];
    };
}

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
              --need that is HP509's to judge, and this is a skip. warn: one page, and some steps take two.",
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
    HP301 = 301 {
        reason: "NotThisHugetlbfs",
        title: "the directory is hugetlbfs of this page size",
        why: "DPDK and QEMU take the page size from the file system. On another one they stop, or go on with 4 KiB pages and \
              say nothing.",
        how: "fstatfs of --dir: magic number and block size, never the path's name. fail: no hugetlbfs, or of another size; for \
              DPDK, a path with a space in it, which it cannot find in /proc/mounts. unknown: the path may not be searched. \
              Without --dir, pass: where one is mounted. skip: no mount of this size, which memfd does not need.",
        remedy: "mount -t hugetlbfs -o pagesize=SIZE none DIR, or name another directory",
        per_size: true,
        mandatory: false,
    }
    HP302 = 302 {
        reason: "MountNotWritable",
        title: "this uid and gid may create files there",
        why: "hugetlbfs is made 0755 root unless its options say otherwise: a workload that is not root gets EACCES.",
        how: "a file without a name is created in --dir; it holds no page. fail: refused (EACCES, EPERM), or mounted \
              read-only (EROFS). unknown: the answer was something else than yes or no. skip: no --dir, or HP301 does not hold.",
        remedy: "change the directory's owner, mount with uid=, gid= and mode=, or set fsGroup in a pod",
        per_size: true,
        mandatory: false,
    }
    HP303 = 303 {
        reason: "MountTooSmall",
        title: "the mount's own limit leaves room",
        why: "size= caps a mount: mmap beyond it is ENOMEM though the pool has pages. min_size= reserves pages for the mount for \
              as long as it lives: the pool counts them as reserved, and this mount alone can have them.",
        how: "for --dir, f_bfree against --need. fail: less than --need, or no page. warn: one page and no --need, so that some \
              steps are left out. skip: no --dir, or HP301 does not hold.",
        remedy: "mount it anew with a larger size= or none; a remount answers success and leaves size= as it was",
        per_size: true,
        mandatory: false,
    }
    HP304 = 304 {
        reason: "MountOutOfInodes",
        title: "the mount has inodes left",
        why: "nr_inodes= caps the files of a mount; creating one beyond it is ENOSPC.",
        how: "for --dir: free inodes, or ENOSPC where fstatfs does not tell them (it does with size= or min_size= only). fail: \
              none left. warn: fewer than the pages of --need, for DPDK without --single-file-segments. skip: no --dir, or \
              HP301 does not hold.",
        remedy: "remove files from the mount, or mount it anew without nr_inodes=",
        per_size: true,
        mandatory: false,
    }
    HP305 = 305 {
        reason: "MountHidden",
        title: "no second mount hides the first",
        why: "A hugetlbfs mounted on top of another hides its files and may have another size; DPDK was seen to hang on it.",
        how: "mountinfo: what a look-up of a mount's path reaches. warn: another mount, which hides a hugetlbfs of this size (with \
              --dir: of any size, at its path or above); a bind mount that shows the same files hides nothing. unknown: \
              mountinfo cannot be read. skip: no mount that could be hidden.",
        remedy: "umount the mount on top, or the one below",
        per_size: true,
        mandatory: false,
    }
    HP401 = 401 {
        reason: "CgroupFaultLimit",
        title: "the cgroup lets this process touch the pages",
        why: "Past the hugetlb fault limit mmap still works and the first touch ends in SIGBUS. A container without a limit of \
              its own has 0.",
        how: "the least room left on the way up the cgroups, limit less usage; above what a container sees it says so and no \
              more. fail: less than --need, or than one page. warn, without --need: less than the free pages, or room for one \
              page alone. unknown: a limit on the way cannot be read. skip: no page of this size.",
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
        how: "for dpdk (which raises its soft limit), the hard limit. fail: less than 25, 32 with --dir, or a soft limit under 12. warn: \
              too few for one per page. For qemu, the soft limit. fail: less than 17 and one per memory backend. See docs/workloads.md.",
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
        how: "each call is tried in a process of its own, see docs/workloads.md.",
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
    HP501 = 501 {
        reason: "ReservationFailed",
        title: "mmap reserves the pages and allocates none",
        why: "The reservation is the promise that a later touch will not be a SIGBUS.",
        how: "map N pages: reserved grows by N, used pages stay. fail: mmap is refused, or the counters move otherwise though \
              nobody else moves them. unknown: others move the counters too, try after try.",
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
              numa_maps tells where it landed. fail: elsewhere though the node had a page. skip: one NUMA node, or no way to \
              ask.",
        remedy: "see the memory policy and the cpuset of this process",
        per_size: true,
        mandatory: false,
    }
    HP507 = 507 {
        reason: "NumaNodeGivesNone",
        title: "each NUMA node can give some",
        why: "The total says nothing about the socket where the NIC is.",
        how: "free pages of each NUMA node, and HP506's pages. warn: a node with a pool gives none. skip: one NUMA node.",
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
        how: "all of them are mapped, populated and released. fail: they could not be had, whoever holds them. skip: no --need.",
        remedy: "see what the failing step names: the pool, the NUMA node, the mount or a limit",
        per_size: true,
        mandatory: false,
    }
    HP601 = 601 {
        reason: "FdNotTheSameFile",
        title: "the fd handed over is the same file at the backend",
        why: "vhost-user shares memory by passing a file descriptor (SCM_RIGHTS in SET_MEM_TABLE); the backend must get that \
              very file.",
        how: "device and inode on hugetlbfs, read on both sides.",
        remedy: "look for a security module that mediates passed descriptors (AppArmor file_receive, SELinux)",
        per_size: true,
        mandatory: true,
    }
    HP602 = 602 {
        reason: "WrongPageSizeAtPeer",
        title: "the backend sees the right page size",
        why: "DPDK accepts 4 KiB memory without a word: a working data path proves nothing about huge pages.",
        how: "fstatfs of the received descriptor, and the kernel's page size of the mapping.",
        remedy: "share memory from hugetlbfs, or a memfd with MFD_HUGETLB",
        per_size: true,
        mandatory: true,
    }
    HP603 = 603 {
        reason: "BytesNotShared",
        title: "both sides see each other's bytes",
        why: "A private mapping looks the same and shares nothing: packets vanish.",
        how: "Shared_Hugetlb on both sides, and bytes written on either side read on the other.",
        remedy: "QEMU: memory-backend-file with share=on; DPDK: no --huge-unlink in the frontend",
        per_size: true,
        mandatory: true,
    }
    HP604 = 604 {
        reason: "VirtqueueBroken",
        title: "a virtqueue round trip comes back intact",
        why: "This is the workload: descriptors, kick, call, frames.",
        how: "frames through a split virtqueue and back, compared byte for byte.",
        remedy: "see what the failing side reports",
        per_size: true,
        mandatory: true,
    }
    HP701 = 701 {
        reason: "Bandwidth",
        title: "how fast huge pages are populated, written and read",
        why: "For information: a tenth of what the machine's memory does points at a virtual machine without backing, or a \
              remote NUMA node.",
        how: "with --measure only: populate, write and read, one thread and several.",
        remedy: "",
        per_size: true,
        mandatory: false,
    }
    HP702 = 702 {
        reason: "RandomReads",
        title: "what huge pages buy",
        why: "For information: the TLB misses that 4 KiB pages cost.",
        how: "with --measure only: dependent random reads over at least 128 MiB, on 4 KiB and on huge pages, in one run.",
        remedy: "",
        per_size: true,
        mandatory: false,
    }
}

/// The check with this id, if the catalogue has it.
#[must_use]
pub fn find(id: CheckId) -> Option<&'static Check> {
    CHECKS.iter().find(|check| check.id == id)
}

impl Check {
    /// The group it belongs to.
    #[must_use]
    pub fn group(&self) -> Option<&'static Group> {
        GROUPS.iter().find(|group| group.digit == self.id.number() / 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_and_each_has_its_group_and_reason() {
        for pair in CHECKS.windows(2) {
            assert!(pair[0].id < pair[1].id, "{} before {}", pair[0].id, pair[1].id);
        }
        for check in CHECKS {
            assert!(check.group().is_some(), "{}", check.id);
            assert!(check.reason.chars().all(|c| c.is_ascii_alphanumeric()), "{}", check.reason);
            assert!(check.reason.starts_with(|c: char| c.is_ascii_uppercase()), "{}", check.reason);
            let informative = check.id.number() / 100 == 7;
            assert!(
                !check.why.is_empty() && !check.how.is_empty() && (informative || !check.remedy.is_empty()),
                "{}",
                check.id
            );
            assert_eq!(
                CHECKS.iter().filter(|other| other.reason == check.reason).count(),
                1,
                "{}",
                check.reason
            );
        }
    }

    #[test]
    fn remedies_name_no_globs() {
        for check in CHECKS {
            assert!(!check.remedy.contains('*'), "{}: {}", check.id, check.remedy);
        }
    }

    #[test]
    fn what_design_calls_mandatory_is() {
        let mandatory: Vec<_> =
            CHECKS.iter().filter(|check| check.mandatory).map(|check| check.id.number()).collect();
        assert_eq!(mandatory, [501, 502, 503, 504, 505, 601, 602, 603, 604]);
    }
}
