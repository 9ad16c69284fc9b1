//! What other programs print that use huge pages, and tools that look at them.

super::troubles! {
    "postgres-mmap" {
        example: "FATAL:  could not map anonymous shared memory: Cannot allocate memory",
        says: [["could not map anonymous shared memory"]],
        cause: "huge_pages=on and fewer free pages than shared_buffers takes, or a limit on reservations.",
        remedy: "`postgres -C shared_memory_size_in_huge_pages` says how many; ask for them with --need",
        checks: [HP509, HP402],
        sources: ["PostgreSQL src/backend/port/sysv_shmem.c"],
    }
    "hugeadm-line" {
        example: "hugeadm:ERROR: Line too long when parsing mounts",
        says: [["line too long when parsing mounts"]],
        cause: "libhugetlbfs reads lines of /proc/mounts of a fixed length, and overlay mounts of containers are longer.",
        remedy: "none needed for the workload: read /sys/kernel/mm/hugepages, as hugeprobe does",
        checks: [HP101, HP301],
        sources: ["kubernetes/kubernetes#115581"],
    }
    "longhorn-capacity" {
        example: "HugePages-2Mi capacity is not sufficient. Please restart kubelet service",
        says: [["please restart kubelet service"], ["insufficient hugepages-2mi capacity"]],
        cause: "The pool has the pages, and the kubelet was started before it had.",
        remedy: "restart the kubelet",
        checks: [HP201, HP101],
        sources: ["longhorn/cli: preflight", "longhorn/longhorn#10000"],
    }
    "mayastor-pages" {
        example: "insufficient free pages available: Needed 1024 pages of 2MiB",
        says: [["insufficient free pages available"], ["insufficient", "free", "hugepages"]],
        cause: "Fewer free pages than the program wants when it starts.",
        remedy: "add pages, or free some; see who holds them",
        checks: [HP102, HP509],
        sources: ["openebs/mayastor#514"],
    }
}
