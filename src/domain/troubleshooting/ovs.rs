//! What Open vSwitch says itself; most of its lines are DPDK's.

super::troubles! {
    "ovs-dpdk-init" {
        example: "dpdk|EMER|Unable to initialize DPDK: Cannot allocate memory",
        says: [["unable to initialize dpdk"]],
        cause: "EAL did not start and ovs-vswitchd has ended: dpdk-socket-mem asks for more than there is, or dpdk-hugepage-dir \
                cannot be used. EAL's own lines stand before it.",
        remedy: "`hugeprobe check --need 2Mi=PAGES@numa0` for each value of dpdk-socket-mem; compare dpdk-hugepage-dir with \
                 `hugeprobe check --dir`",
        checks: [HP509, HP102, HP301],
        sources: ["OVS 3.1 with dpdk-socket-mem=65536"],
    }
    "ovs-mempool" {
        example: "netdev_dpdk|ERR|Failed to create memory pool for netdev vhu0, with MTU 1500 on socket 0: Cannot allocate memory",
        says: [["failed to create memory pool for netdev"]],
        cause: "No room for the buffers of a port: on that NUMA node the vswitch has too few pages.",
        remedy: "raise dpdk-socket-mem for that node, and the pool with it",
        checks: [HP509, HP103],
        sources: ["OVS lib/netdev-dpdk.c"],
    }
    "ovs-restart" {
        example: "nothing is printed by the guest: after a restart of OVS its network is dead",
        says: [],
        cause: "The port is of type dpdkvhostuser: OVS listens, and QEMU does not connect a second time.",
        remedy: "use dpdkvhostuserclient, where QEMU listens (server=on) and OVS connects again",
        checks: [HP612],
        sources: ["OVS Documentation/topics/dpdk/vhost-user.rst"],
    }
    "ovs-permission" {
        example: "VHOST_CONFIG: (/run/vhu0) failed to connect: Permission denied",
        says: [["failed to connect: permission denied"], ["failed to bind", "permission denied"]],
        cause: "Frontend and vswitch run as different users, and one may not use the other's socket.",
        remedy: "give both one group (Debian and Fedora: hugetlbfs, openvswitch), and the socket's directory to it",
        checks: [HP612],
        sources: ["kubevirt/libvirt#47"],
    }
    "ovs-pages-in-allocatable" {
        example: "nothing is printed: pods are admitted for pages that the vswitch of the host has",
        says: [],
        cause: "The kubelet knows of no pages reserved for the system: what OVS took before still counts as allocatable.",
        remedy: "keep a NUMA node's pages, or a page size, for the vswitch alone; compare pages in use with requests",
        checks: [HP202, HP102],
        sources: [
            "kubernetes/kubernetes#140544", "kubernetes/kubernetes#83542", "kubernetes/enhancements#6253",
        ],
    }
}
