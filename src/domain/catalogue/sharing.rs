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
        how: "bytes written on either side are read on the other, and smaps says that both mappings hold huge pages.",
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
    HP605 = 605 {
        reason: "FrontendFirstFailed",
        title: "the frontend may touch the pages first",
        why: "This is QEMU with prealloc, and virtio_user: a page is charged to the cgroup that touches it first, and stays \
              charged there for as long as the file lives.",
        how: "the frontend populates, the backend maps and finds every byte. fail: the backend cannot, or finds others.",
        remedy: "see HP401 and HP402 for the frontend's cgroup",
        per_size: true,
        mandatory: false,
    }
    HP606 = 606 {
        reason: "BackendFirstFailed",
        title: "the backend may touch the pages first",
        why: "A guest without prealloc leaves pages to whoever comes first: then the switch pays for the guest's memory, and a \
              switch whose cgroup has no room is killed by SIGBUS.",
        how: "the backend populates what it was handed, the frontend finds every byte, and the other way round. fail: refused, \
              or other bytes, or the backend is killed.",
        remedy: "let the frontend populate (QEMU: prealloc=on), or raise the hugetlb limit of the backend's cgroup",
        per_size: true,
        mandatory: false,
    }
    HP607 = 607 {
        reason: "MemfdNotShared",
        title: "the same with memfd",
        why: "DPDK with --in-memory and QEMU's memory-backend-memfd take their pages without any mount.",
        how: "the sessions of HP605 and HP606 on a memfd of huge pages.",
        remedy: "see what the failing side reports; seccomp may forbid memfd_create",
        per_size: true,
        mandatory: false,
    }
    HP608 = 608 {
        reason: "PrivateMappingShared",
        title: "a private mapping is not seen by the other side",
        why: "Shows that HP603 can fail: QEMU without share=on hands over memory whose bytes never arrive.",
        how: "the frontend writes to a private mapping of the file that it hands over. fail: the backend sees what it wrote, so \
              HP603 proves nothing here. skip: only one page to be had.",
        remedy: "this is the kernel's fault, or the test's: report it, with the output of -o json",
        per_size: true,
        mandatory: false,
    }
    HP609 = 609 {
        reason: "SmallPagesAccepted",
        title: "memory of 4 KiB pages is refused",
        why: "Shows that HP602 can fail: DPDK takes such memory without a word.",
        how: "the frontend hands over a memfd of ordinary pages. fail: the backend takes it, so HP602 proves nothing here.",
        remedy: "this is the kernel's fault, or the test's: report it, with the output of -o json",
        per_size: true,
        mandatory: false,
    }
    HP610 = 610 {
        reason: "SecondRegionFailed",
        title: "memory in more than one region works",
        why: "A guest of any size has several regions, and DPDK a file for each page unless told otherwise: buffers lie in all of \
              them.",
        how: "frames whose buffers lie in two regions, of two files where there are two pages. fail: a frame lost, doubled or \
              altered.",
        remedy: "see what the failing side reports",
        per_size: true,
        mandatory: false,
    }
    HP611 = 611 {
        reason: "NewTableNotTaken",
        title: "a new memory table is taken while frames pass",
        why: "virtio_user sends its table again whenever DPDK's memory grows, QEMU when memory is plugged in: the rings must go on.",
        how: "a table with a region more replaces the first while the rings run; bytes in the new region and frames after it. \
              fail: refused, or a frame lost, doubled or altered.",
        remedy: "see what the failing side reports",
        per_size: true,
        mandatory: false,
    }
}
