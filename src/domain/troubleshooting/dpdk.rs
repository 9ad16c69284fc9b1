//! What DPDK prints: EAL, its vhost library (the backend, also of Open vSwitch), virtio_user (the frontend), testpmd.

super::troubles! {
    "dpdk-no-mount" (harmless) {
        example: "EAL: 16 hugepages of size 2097152 reserved, but no mounted hugetlbfs found for that size",
        says: [["hugepages of size", "reserved, but no mounted hugetlbfs found for that size"]],
        cause: "No hugetlbfs with that page size is mounted where this process looks: /proc/mounts, or exactly the path of \
                --huge-dir. With --in-memory nothing is amiss.",
        remedy: "mount one with that page size, give --huge-dir the very path of the mount, or use --in-memory",
        checks: [HP301],
        sources: ["opiproject/opi-poc#224", "sonic-net/sonic-platform-vpp#182", "testpmd 22.11"],
    }
    "dpdk-none-free" (harmless) {
        example: "EAL: No free 1048576 kB hugepages reported on node 0",
        says: [["no free", "kb hugepages reported on node"], ["no free hugepages reported in hugepages-"]],
        cause: "That pool has no free page. Of no consequence if the program is to use pages of another size.",
        remedy: "if this is the size that it needs: free pages or add some; see who holds them",
        checks: [HP102, HP105],
        sources: ["F-Stack/f-stack#357", "testpmd 22.11"],
    }
    "dpdk-no-information" {
        example: "EAL: FATAL: Cannot get hugepage information.",
        says: [["cannot get hugepage information"]],
        cause: "No size has both a free page and a mount that EAL may use: the pool is empty or held, also by files that a \
                dead program left behind; or --huge-dir is not the path of a hugetlbfs.",
        remedy: "free pages, remove the files that nobody has open, and give --huge-dir the path of the mount itself",
        checks: [HP101, HP102, HP509, HP105, HP301],
        sources: ["F-Stack/f-stack#274", "testpmd 22.11"],
    }
    "dpdk-not-enough" {
        example: "EAL: Not enough memory available on socket 0! Requested: 65536MB, available: 112MB",
        says: [["not enough memory available"]],
        cause: "The pools, on that NUMA node if one is named, have fewer free pages than -m or --socket-mem asks for.",
        remedy: "ask for less on that node, or add pages to it; `hugeprobe check --need 2Mi=PAGES@numa0` tells beforehand",
        checks: [HP509, HP102, HP103],
        sources: ["omec-project/ngic-rtc#94", "testpmd 22.11"],
    }
    "dpdk-init-memory" {
        example: "EAL: FATAL: Cannot init memory",
        says: [["cannot init memory"]],
        cause: "The pages could not be had though the pool seemed to have them: a limit of the cgroup, size= of the mount, \
                a mount of another page size, files left behind, or another process was faster. EAL does not say which of them.",
        remedy: "run `hugeprobe check --need 2Mi=PAGES` in the same place, with --dir if it has --huge-dir: it says which",
        checks: [HP401, HP402, HP301, HP303, HP105, HP509],
        sources: [
            "testpmd 22.11 under hugetlb.2MB.max=0, under rsvd.max=0, with size=4M, and with a mount of 1Gi pages beside pages of 2Mi",
        ],
    }
    "dpdk-init-enomem" {
        example: "  Cause: Cannot init EAL: Cannot allocate memory",
        says: [["cannot init eal", "cannot allocate memory"], ["creation of mbuf pool for socket", "cannot allocate memory"]],
        cause: "Fewer pages than the program needs: for its memory as a whole, or for its buffers alone.",
        remedy: "add pages or ask for fewer buffers; see the lines before it",
        checks: [HP509, HP401, HP402],
        sources: ["testpmd 22.11"],
    }
    "dpdk-address-space" {
        example: "EAL: Cannot get a virtual area: Cannot allocate memory",
        says: [["cannot get a virtual area"], ["cannot allocate va space for memseg list"]],
        cause: "EAL lays out hundreds of gigabytes of addresses beforehand, and RLIMIT_AS forbids it.",
        remedy: "ulimit -v unlimited",
        checks: [HP405],
        sources: ["testpmd 22.11 under ulimit -v"],
    }
    "dpdk-open-denied" {
        example: "EAL: get_seg_fd(): open '/dev/hugepages/rtemap_0' failed: Permission denied",
        says: [["get_seg_fd()", "failed: permission denied"], ["get_seg_fd()", "failed: read-only file system"]],
        cause: "The hugetlbfs may not be written to by this uid, or is mounted read-only.",
        remedy: "mount it with uid=, gid= and mode= of the program's user; in Kubernetes set fsGroup",
        checks: [HP302],
        sources: ["openshift-kni/cnf-features-deploy#1647", "testpmd 22.11 as another user, and on a mount with ro"],
    }
    "dpdk-open-inodes" {
        example: "EAL: get_seg_fd(): open '/dev/hugepages/rtemap_2' failed: No space left on device",
        says: [["get_seg_fd()", "failed: no space left on device"]],
        cause: "nr_inodes= of the mount is used up: DPDK makes a file for each page.",
        remedy: "raise nr_inodes=, or use --single-file-segments",
        checks: [HP304],
        sources: ["testpmd 22.11 on a mount with nr_inodes=3"],
    }
    "dpdk-fd" {
        example: "EAL: Couldn't get fd on hugepage file",
        says: [["couldn't get fd on hugepage file"]],
        cause: "No file could be opened for a page. A line before it says why; without one, RLIMIT_NOFILE is reached, since \
                each page takes a descriptor unless --single-file-segments is given.",
        remedy: "ulimit -n, or --single-file-segments",
        checks: [HP404, HP302],
        sources: ["testpmd 22.11 under ulimit -n 24"],
    }
    "dpdk-lock" {
        example: "EAL: Cannot create lock on '/var/run/dpdk/rte/config'. Is another primary process running?",
        says: [["cannot create lock on", "is another primary process running"]],
        cause: "Another program has the same file prefix. In containers every program is PID 1 and takes the same names, so \
                two that share a directory collide.",
        remedy: "give each its own --file-prefix",
        checks: [],
        sources: ["spdk/spdk#853", "DPDK lib/eal/linux/eal.c"],
    }
    "dpdk-left-behind" {
        example: "nothing is printed, and the next run finds no pages: files named rtemap or *map_ are in /dev/hugepages",
        says: [],
        cause: "A program that failed while it started, or was killed, leaves its files, and each holds its pages.",
        remedy: "remove the files that nobody has open; HP105 names them",
        checks: [HP105],
        sources: ["NVIDIA/daqiri#58", "DPDK lib/eal/linux/eal_hugepage_info.c"],
    }
    "dpdk-stacked" {
        example: "nothing is printed: EAL hangs while it starts",
        says: [],
        cause: "Two hugetlbfs are mounted on one path, one over the other.",
        remedy: "unmount one of them",
        checks: [HP305],
        sources: ["openebs/mayastor#1741"],
    }
    "dpdk-mlockall" {
        example: "testpmd: mlockall() failed with error \"Cannot allocate memory\"",
        says: [["mlockall() failed"], ["mlockall", "cannot allocate memory"]],
        cause: "RLIMIT_MEMLOCK is below what the process maps. testpmd goes on; others end here.",
        remedy: "ulimit -l unlimited, CAP_IPC_LOCK, or --no-mlockall",
        checks: [HP403],
        sources: ["testpmd 22.11 under ulimit -l 64"],
    }
    "dpdk-dma-mask" {
        example: "EAL: memseg_list IOVA exceeding limits of current DMA mask",
        says: [["iova exceeding limits of current dma mask"]],
        cause: "The IOMMU, or a device, addresses fewer bits than the pages' addresses have.",
        remedy: "--iova-mode=va, or another IOMMU width; hugeprobe does not look at IOMMUs",
        checks: [],
        sources: ["openebs/mayastor#1571"],
    }
    "dpdk-numa-call" {
        example: "VHOST_CONFIG: (vhu0) failed to get memory policy: Operation not permitted",
        says: [
            ["unable to get virtqueue", "numa information"],
            ["get_mempolicy", "operation not permitted"],
            ["get memory policy", "operation not permitted"],
            ["get current mempolicy", "operation not permitted"],
            ["set_mempolicy", "operation not permitted"],
            ["mbind", "operation not permitted"],
        ],
        cause: "seccomp forbids the calls about NUMA nodes, as container runtimes do by default without CAP_SYS_NICE.",
        remedy: "allow get_mempolicy, set_mempolicy and mbind, or give CAP_SYS_NICE",
        checks: [HP407],
        sources: ["moby/moby#37241", "containerd/containerd#13610", "DPDK lib/vhost/vhost_user.c"],
    }
    "virtio-user-regions" {
        example: "update_memory_region(): Too many memory regions",
        says: [["too many memory regions"], ["failed preparing vhost-user memory table msg"]],
        cause: "A memory table has 8 regions at most, and DPDK makes a file, a region, of each page.",
        remedy: "--single-file-segments, or pages of 1Gi, or less memory. DPDK goes on with the table it had: frames in newer \
                 pages are lost",
        checks: [HP610, HP613],
        sources: [
            "F-Stack/f-stack#419", "testpmd 22.11 with -m 64",
            "https://doc.dpdk.org/guides/howto/virtio_user_for_container_networking.html",
        ],
    }
    "virtio-user-table" {
        example: "vhost_user_set_memory_table(): Failed to set memory table",
        says: [["failed to set memory table"]],
        cause: "The frontend could not make its table, or the backend refused it; the line before it says which.",
        remedy: "see the line before it; ask the backend with `hugeprobe check --peer SOCKET`",
        checks: [HP613, HP610],
        sources: ["testpmd 22.11 with -m 64"],
    }
    "virtio-user-nack" {
        example: "vhost_user_check_reply_ack(): Slave replied NACK to request type (5)",
        says: [["replied nack to request type"]],
        cause: "The backend refuses a request; type 5 is the memory table: it cannot map the pages, or wants others.",
        remedy: "read the backend's log; ask it with `hugeprobe check --peer SOCKET`",
        checks: [HP613, HP614],
        sources: ["testpmd 22.11 with a backend that wants pages of another size"],
    }
    "virtio-user-connect" {
        example: "vhost_user_setup(): connect error, No such file or directory",
        says: [["vhost_user_setup()", "connect error"], ["(): connect error"]],
        cause: "Nobody listens at the socket: the vswitch does not run, its port has another path, or it connects itself.",
        remedy: "start it first, compare the paths, or use server=1 where the vswitch is the one to connect",
        checks: [HP612],
        sources: ["testpmd 22.11 without a backend", "DPDK drivers/net/virtio/virtio_user/vhost_user.c"],
    }
    "virtio-user-hung-up" {
        example: "vhost_user_read(): Failed to recv msg header: Connection reset by peer",
        says: [
            ["failed to recv msg header"], ["failed to recv msg: flags"], ["failed to read msg header"],
            ["vhost read message failed"], ["vhost message handling failed"],
        ],
        cause: "The other side hung up in the middle of the conversation, or broke the protocol: mostly it could not map what it \
                was handed, or was restarted.",
        remedy: "read the other side's log of the same second",
        checks: [HP612, HP613],
        sources: ["testpmd 22.11", "OVS 3.1", "DPDK lib/vhost/vhost_user.c"],
    }
    "virtio-user-fd" {
        example: "update_memory_region(): Failed to get fd, ms=0x1000 rte_errno=19",
        says: [["failed to get fd, ms="]],
        cause: "The memory has no file that could be handed over: --no-huge, --huge-unlink or --legacy-mem.",
        remedy: "leave those out; --in-memory with --single-file-segments is what works everywhere",
        checks: [HP601],
        sources: ["DPDK drivers/net/virtio/virtio_user/vhost_user.c"],
    }
    "vhost-fds" {
        example: "VHOST_CONFIG: (vhu0) expect 8 FDs for request VHOST_USER_SET_MEM_TABLE, received 7",
        says: [["expect", "fds for request", "received"], ["truncated msg"], ["truncated control data"]],
        cause: "Descriptors got lost on the way: RLIMIT_NOFILE of the backend is reached, or a security module took them.",
        remedy: "ulimit -n of the backend; look for AppArmor (file_receive) and SELinux denials",
        checks: [HP404, HP601],
        sources: [
            "DPDK lib/vhost/socket.c", "https://dpdk.org/ml/archives/dev/2018-March/091777.html",
        ],
    }
    "vhost-mmap" {
        example: "VHOST_CONFIG: (vhu0) mmap failed (Cannot allocate memory).",
        says: [["mmap failed (cannot allocate memory)"], ["failed to mmap region"], ["mmap region", "failed", "cannot allocate memory"]],
        cause: "The backend cannot map what it was handed: pages that the frontend has not touched are reserved anew, for the \
                backend, and its limit or the pool has no room.",
        remedy: "let the frontend populate its memory (QEMU: prealloc=on), or raise the backend's hugetlb limits",
        checks: [HP606, HP402, HP613],
        sources: ["spdk/spdk#1316", "DPDK lib/vhost/vhost_user.c"],
    }
    "vhost-bind" {
        example: "VHOST_CONFIG: (/run/vhu0) failed to bind: Address already in use; remove it and try again",
        says: [["failed to bind", "remove it and try again"]],
        cause: "Something is at the path already: a socket that a dead process left, or somebody else's.",
        remedy: "if nobody listens there (`ss -xl`), remove it; better let the vswitch be the one to connect",
        checks: [HP612],
        sources: ["DPDK lib/vhost/socket.c", "testpmd 22.11"],
    }
    "vhost-reconnect" (harmless) {
        example: "VHOST_CONFIG: (/run/vhu0) failed to connect: No such file or directory",
        says: [["failed to connect: no such file or directory"], ["failed to connect: connection refused"]],
        cause: "A port that connects finds nobody listening yet. It tries again every second: only if it goes on is anything wrong.",
        remedy: "start the frontend that listens there; `hugeprobe check --peer PATH --peer-listen` stands in for it",
        checks: [HP612],
        sources: ["OVS 3.1"],
    }
    "vhost-fdset" {
        example: "VHOST_CONFIG: failed to add listen fd 100 to vhost server fdset",
        says: [["failed to add listen fd"], ["fail to add fd", "into vhost"]],
        cause: "DPDK's vhost library watches a fixed number of descriptors, and has them all.",
        remedy: "fewer vhost ports in one process",
        checks: [],
        sources: ["DPDK lib/vhost/socket.c"],
    }
}
