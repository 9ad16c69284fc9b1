//! HP6xx: sharing, as vhost-user does it.

checks! {
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
}
