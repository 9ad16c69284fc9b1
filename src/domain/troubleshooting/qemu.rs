//! What QEMU prints, and those who start it.

super::troubles! {
    "qemu-backing-enomem" {
        example: "qemu-system-x86_64: unable to map backing store for guest RAM: Cannot allocate memory",
        says: [["unable to map backing store for guest ram"]],
        cause: "The pages cannot be reserved: the pool has too few (a backend may still hold those of a QEMU that was killed), \
                size= of the mount, or the cgroup's limit on reservations.",
        remedy: "`hugeprobe check --workload qemu --need 2Mi=PAGES`, with --dir for mem-path, tells which; restart the backend \
                 if it holds a deleted file",
        checks: [HP509, HP102, HP402, HP303, HP105],
        sources: ["spdk/spdk#162", "QEMU 7.2: pool too small, under rsvd.max=0, and with size=4M"],
    }
    "qemu-prealloc" {
        example: "qemu-system-x86_64: qemu_prealloc_mem: preallocating memory failed: Bad address",
        says: [["preallocating memory failed"]],
        cause: "The pages are reserved and cannot be had: the cgroup's limit on faults is reached.",
        remedy: "raise the hugetlb limit of the container: request pages of this very size",
        checks: [HP401, HP502],
        sources: ["QEMU 7.2 under hugetlb.2MB.max=0"],
    }
    "qemu-prealloc-denied" {
        example: "qemu-system-x86_64: qemu_prealloc_mem: preallocating memory failed: Operation not permitted",
        says: [["preallocating memory failed: operation not permitted"]],
        cause: "seccomp forbids madvise.",
        remedy: "allow madvise in the seccomp profile",
        checks: [HP407],
        sources: ["QEMU 7.2 under a seccomp filter"],
    }
    "qemu-insufficient" {
        example: "qemu-system-x86_64: os_mem_prealloc: Insufficient free host memory pages available to allocate guest RAM",
        says: [["insufficient free host memory pages available"]],
        cause: "The touch of a page failed. With policy=bind the pages of that NUMA node count alone, whatever the others have.",
        remedy: "add pages to that node, or do not bind; `hugeprobe check --need 2Mi=PAGES@numa0` tells beforehand",
        checks: [HP509, HP507, HP401],
        sources: ["kubevirt/kubevirt#6981"],
    }
    "qemu-store-missing" {
        example: "qemu-system-x86_64: can't open backing store /dev/hugepages for guest RAM: No such file or directory",
        says: [["can't open backing store", "no such file or directory"]],
        cause: "mem-path is not there.",
        remedy: "mount a hugetlbfs at that path",
        checks: [HP301],
        sources: ["QEMU 7.2"],
    }
    "qemu-store-denied" {
        example: "qemu-system-x86_64: can't open backing store /dev/hugepages for guest RAM: Permission denied",
        says: [["can't open backing store", "permission denied"]],
        cause: "mem-path may not be written to by QEMU's user, or a security module forbids it.",
        remedy: "mount it with gid= and mode= of QEMU's group; look for SELinux and AppArmor denials",
        checks: [HP302],
        sources: ["autotest/tp-libvirt#4993", "QEMU 7.2 as another user"],
    }
    "qemu-bind-invalid" {
        example: "qemu-system-x86_64: cannot bind memory to host NUMA nodes: Invalid argument",
        says: [["cannot bind memory to host numa nodes: invalid argument"]],
        cause: "host-nodes= names a NUMA node that this machine, or this cpuset, does not have.",
        remedy: "compare host-nodes= with the nodes that `hugeprobe check` lists",
        checks: [HP103, HP506],
        sources: ["QEMU 7.2 with host-nodes=5"],
    }
    "qemu-bind-denied" {
        example: "qemu-system-x86_64: cannot bind memory to host NUMA nodes: Operation not permitted",
        says: [["cannot bind memory to host numa nodes: operation not permitted"]],
        cause: "seccomp forbids mbind, as container runtimes do by default without CAP_SYS_NICE.",
        remedy: "allow mbind in the seccomp profile, or give CAP_SYS_NICE",
        checks: [HP407],
        sources: ["kubevirt/kubevirt#17248"],
    }
    "qemu-below-page" {
        example: "qemu-system-x86_64: memory size 0x100000 must be equal to or larger than page size 0x200000",
        says: [["must be equal to or larger than page size"], ["failed to resize memfd to", "invalid argument"]],
        cause: "The guest's memory, or a NUMA node of it, is no whole number of pages; or mem-path has larger pages than was \
                thought.",
        remedy: "make each memory backend a multiple of the page size, and look at that of the mount",
        checks: [HP501, HP301],
        sources: ["QEMU 7.2 with -m 1M", "QEMU 7.2 on a mount with pagesize=1G", "kubernetes/kubernetes#98513"],
    }
    "qemu-reserve-off" {
        example: "qemu-system-x86_64: 'prealloc=on' and 'reserve=off' are incompatible",
        says: [["'prealloc=on' and 'reserve=off' are incompatible"]],
        cause: "Both were asked for.",
        remedy: "leave out reserve=off: without a reservation the guest is killed by SIGBUS when the pool is empty",
        checks: [],
        sources: ["QEMU 7.2"],
    }
    "qemu-share-off" {
        example: "qemu-system-x86_64: Failed initializing vhost-user memory map, consider using -object memory-backend-file share=on",
        says: [["failed initializing vhost-user memory map"]],
        cause: "The guest's memory has no file, or not one that is shared: the backend would see none of its bytes.",
        remedy: "memory-backend-file or memory-backend-memfd with share=on, and -numa node,memdev= that names it",
        checks: [HP603, HP608],
        sources: ["QEMU hw/virtio/vhost-user.c", "https://www.cnblogs.com/hugetong/p/9014142.html", "QEMU 7.2"],
    }
    "qemu-share-silent" {
        example: "nothing is printed: the link is up and no frame arrives",
        says: [],
        cause: "The frontend's memory is not shared (Kata had left out share=on): each side has its own bytes.",
        remedy: "share=on; HP603 looks at the very bytes",
        checks: [HP603, HP604],
        sources: ["kata-containers/runtime#2187"],
    }
    "qemu-table-refused" {
        example: "qemu-system-x86_64: vhost_set_mem_table failed: Input/output error (5)",
        says: [["vhost_set_mem_table failed"]],
        cause: "The backend refuses the memory table, or QEMU could not make one (then a line before it says so).",
        remedy: "read the backend's log; ask it with `hugeprobe check --peer SOCKET`",
        checks: [HP613, HP603],
        sources: ["QEMU 7.2 with a backend that wants pages of another size"],
    }
    "qemu-fallback" {
        example: "qemu-system-x86_64: unable to start vhost net: 5: falling back on userspace virtio",
        says: [["unable to start vhost net"]],
        cause: "vhost-user did not start, and there is nothing to fall back on: the guest runs without a network. The number is \
                the errno: 24 is RLIMIT_NOFILE.",
        remedy: "see the lines before it; of 24, ulimit -n",
        checks: [HP613, HP614, HP404],
        sources: ["QEMU 7.2", "QEMU 7.2 under ulimit -n 17"],
    }
    "qemu-rings" {
        example: "qemu-system-x86_64: vhost VQ 0 ring restore failed: -22: Invalid argument (22)",
        says: [["vhost vq", "ring restore failed"], ["failed to set msg fds"]],
        cause: "The backend hung up while the guest ran.",
        remedy: "look for its end in its log and in dmesg; reconnect= of the chardev lets QEMU find the next one",
        checks: [HP614],
        sources: ["QEMU 7.2 whose backend ended"],
    }
    "qemu-connect" {
        example: "qemu-system-x86_64: -chardev socket,id=c,path=/run/vhu0: Failed to connect to '/run/vhu0': No such file or directory",
        says: [["-chardev socket", "failed to connect to"], ["failed to connect to '"], ["failed to connect socket"]],
        cause: "Nobody listens at the socket.",
        remedy: "start the vswitch first, compare the paths, or let QEMU listen (server=on)",
        checks: [HP612],
        sources: ["QEMU 7.2 without a backend"],
    }
    "qemu-waiting" {
        example: "qemu-system-x86_64: -chardev socket,id=c,path=/run/vhu0,server=on: info: QEMU waiting for connection on: disconnected:unix:/run/vhu0,server=on",
        says: [["qemu waiting for connection on"]],
        cause: "The vswitch is to connect and has not: its port has another path or type, or it does not run.",
        remedy: "a port of type dpdkvhostuserclient with vhost-server-path of this very path",
        checks: [HP612],
        sources: ["OVS Documentation/topics/dpdk/vhost-user.rst", "QEMU 7.2"],
    }
    "qemu-chardev" {
        example: "qemu-system-x86_64: chardev \"c\" is not reconnectable",
        says: [["chardev", "is not reconnectable"], ["you are asking more queues than supported"]],
        cause: "QEMU's own command line does not fit: the chardev cannot connect again, or the backend has fewer queues.",
        remedy: "server=on or reconnect=; fewer queues than the backend says (HP612 shows how many)",
        checks: [HP612],
        sources: ["QEMU net/vhost-user.c"],
    }
    "qemu-slots" {
        example: "qemu-system-x86_64: The backend specified a max ram slots limit of 8, when the prior validated limit was 512.",
        says: [["max ram slots limit"], ["used by", "memory slots", "limit"]],
        cause: "The guest's memory, with what was plugged in, has more regions than the backend takes: 8 where it does not say.",
        remedy: "fewer and larger memory devices; HP612 shows how many the backend takes",
        checks: [HP610, HP613],
        sources: ["rust-vmm/vhost#224", "cloud-hypervisor/cloud-hypervisor#1460"],
    }
    "qemu-memfd" {
        example: "unsupported configuration: hugepages is not supported with memfd memory source",
        says: [["hugepages is not supported with memfd memory source"]],
        cause: "The host's kernel (before 4.14), or the QEMU, has no memfd of huge pages.",
        remedy: "memory-backend-file on a hugetlbfs",
        checks: [HP607],
        sources: ["kubevirt/user-guide#509"],
    }
    "qemu-userfaultfd" {
        example: "qemu-kvm: Userfaultfd not available: Operation not permitted",
        says: [["userfaultfd not available"]],
        cause: "vm.unprivileged_userfaultfd, seccomp or SELinux forbids userfaultfd: post-copy migration is not to be had.",
        remedy: "allow it, or migrate without post-copy; hugeprobe does not look at migration",
        checks: [HP407],
        sources: ["kubevirt/kubevirt#17780", "containers/container-selinux#452"],
    }
    "qemu-pdpe1gb" {
        example: "warning: host doesn't support requested feature: CPUID.80000001H:EDX.pdpe1gb [bit 26]",
        says: [["host doesn't support requested feature", "pdpe1gb"]],
        cause: "The CPU, or the virtual machine that this is, has no pages of 1Gi. Some say that they do and have no pool.",
        remedy: "choose a CPU model with pdpe1gb on the outer host, or use 2Mi",
        checks: [HP107, HP101],
        sources: ["WCharacter/RDTSC-KVM-Handler#22", "microsoft/WSL#6517"],
    }
    "libvirt-mount" {
        example: "internal error: hugetlbfs filesystem is not mounted or disabled by administrator config",
        says: [["hugetlbfs filesystem is not mounted"]],
        cause: "libvirt found no hugetlbfs when it started.",
        remedy: "mount one of the right page size and restart libvirt",
        checks: [HP301],
        sources: ["libvirt src/util/virfile.c"],
    }
}
