//! HP601 to HP611: sharing memory as vhost-user does.

checks! {
    HP601 = 601 {
        reason: "FdNotTheSameFile",
        title: "the backend receives the same file",
        why: "vhost-user shares memory by passing a file descriptor (SCM_RIGHTS in SET_MEM_TABLE); the backend has \
              to receive exactly that file.",
        how: "device and inode on hugetlbfs, read on both sides, are the same.",
        remedy: "look for a security module that controls passed descriptors (AppArmor file_receive, SELinux)",
        per_size: true,
        mandatory: true,
    }
    HP602 = 602 {
        reason: "WrongPageSizeAtPeer",
        title: "the backend sees the right page size",
        why: "DPDK accepts memory of 4 KiB pages without reporting it, so a working data path does not prove that \
              huge pages are used.",
        how: "fstatfs of the received descriptor, and the kernel's page size of the mapping.",
        remedy: "share memory from hugetlbfs, or a memfd with MFD_HUGETLB",
        per_size: true,
        mandatory: true,
    }
    HP603 = 603 {
        reason: "BytesNotShared",
        title: "both sides see each other's bytes",
        why: "A private mapping looks the same but shares nothing: packets are lost.",
        how: "bytes written on either side are read on the other, and smaps shows that both mappings have huge \
              pages.",
        remedy: "QEMU: set share=on for memory-backend-file; DPDK: run the frontend without --huge-unlink",
        per_size: true,
        mandatory: true,
    }
    HP604 = 604 {
        reason: "VirtqueueBroken",
        title: "frames through a virtqueue come back intact",
        why: "This is what the workload does: descriptors, kick, call, frames.",
        how: "frames go through a split virtqueue and back, and are compared byte by byte.",
        remedy: "see the report of the failing side",
        per_size: true,
        mandatory: true,
    }
    HP605 = 605 {
        reason: "FrontendFirstFailed",
        title: "the frontend can touch the pages first",
        why: "QEMU with prealloc and virtio_user do this: a page is charged to the cgroup that touches it first, \
              and stays charged to it as long as the file exists.",
        how: "the frontend populates the pages; the backend maps them and finds every byte. fail: the backend \
              cannot map them, or finds different bytes.",
        remedy: "see HP401 and HP402 for the frontend's cgroup",
        per_size: true,
        mandatory: false,
    }
    HP606 = 606 {
        reason: "BackendFirstFailed",
        title: "the backend can touch the pages first",
        why: "With a guest without prealloc, a page is charged to the process that touches it first: the vswitch \
              then pays for the guest's memory, and a vswitch whose cgroup has no room is killed by SIGBUS.",
        how: "the backend populates the pages that it received, the frontend finds every byte, and vice versa. \
              fail: refused, or different bytes, or the backend is killed.",
        remedy: "let the frontend populate (QEMU: prealloc=on), or raise the hugetlb limit of the backend's cgroup",
        per_size: true,
        mandatory: false,
    }
    HP607 = 607 {
        reason: "MemfdNotShared",
        title: "sharing works with memfd too",
        why: "DPDK with --in-memory and QEMU's memory-backend-memfd allocate their pages without any mount.",
        how: "the sessions of HP605 and HP606 on a memfd of huge pages.",
        remedy: "see the report of the failing side; seccomp may forbid memfd_create",
        per_size: true,
        mandatory: false,
    }
    HP608 = 608 {
        reason: "PrivateMappingShared",
        title: "the other side does not see a private mapping",
        why: "Shows that HP603 can fail: QEMU without share=on passes memory whose bytes never arrive.",
        how: "the frontend writes to a private mapping of the file that it passes. fail: the backend sees those \
              bytes, so HP603 proves nothing here. skip: only one page is available.",
        remedy: "this is a bug of the kernel or of this check: report it, with the output of -o json",
        per_size: true,
        mandatory: false,
    }
    HP609 = 609 {
        reason: "SmallPagesAccepted",
        title: "memory of 4 KiB pages is refused",
        why: "Shows that HP602 can fail: DPDK accepts such memory without reporting it.",
        how: "the frontend passes a memfd of ordinary pages. fail: the backend accepts it, so HP602 proves nothing \
              here.",
        remedy: "this is a bug of the kernel or of this check: report it, with the output of -o json",
        per_size: true,
        mandatory: false,
    }
    HP610 = 610 {
        reason: "SecondRegionFailed",
        title: "memory in more than one region works",
        why: "Every guest has several regions, and DPDK uses one file per page by default: buffers are in all of \
              them.",
        how: "send frames whose buffers are in two regions, of two files where two pages are available. fail: a \
              frame is lost, duplicated or altered.",
        remedy: "see the report of the failing side",
        per_size: true,
        mandatory: false,
    }
    HP611 = 611 {
        reason: "NewTableNotTaken",
        title: "a new memory table is accepted while frames pass",
        why: "virtio_user sends its table again whenever DPDK's memory grows, and QEMU when memory is hot-plugged: \
              the rings must continue.",
        how: "a table with one more region replaces the first while the rings run; then bytes in the new region are \
              compared, and more frames are sent. fail: refused, or a frame is lost, duplicated or altered.",
        remedy: "see the report of the failing side",
        per_size: true,
        mandatory: false,
    }
}
