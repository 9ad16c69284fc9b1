//! HP3xx: the hugetlbfs mount.

checks! {
    HP301 = 301 {
        reason: "NotThisHugetlbfs",
        title: "the directory is a hugetlbfs of this page size",
        why: "DPDK and QEMU take the page size from the file system. On any other file system they stop, or \
              continue with 4 KiB pages without reporting it.",
        how: "fstatfs of --dir: magic number and block size; the name of the path does not matter. fail: not a \
              hugetlbfs, or one of another size; for DPDK, a path that DPDK cannot find in /proc/mounts: with a \
              space, through a symbolic link, relative, or with two slashes. unknown: this process may not search the path. Without --dir, pass: where one is \
              mounted. skip: no hugetlbfs of this size is mounted; memfd needs none.",
        remedy: "mount a hugetlbfs of the size at a new path, and use that path with --dir",
        per_size: true,
        mandatory: false,
    }
    HP302 = 302 {
        reason: "MountNotWritable",
        title: "this uid and gid may create files there, and for DPDK list them",
        why: "The root directory of a hugetlbfs has mode 0755 and owner root unless mount options change that: a \
              workload that does not run as root gets EACCES.",
        how: "create an unnamed file in --dir; it takes no page. fail: refused (EACCES, EPERM), mounted read-only \
              (EROFS), or, for DPDK, the directory cannot be opened for reading. unknown: any other error. skip: no --dir, or HP301 does not pass.",
        remedy: "change the directory's owner, mount with uid=, gid= and mode=, or set fsGroup in a pod",
        per_size: true,
        mandatory: false,
    }
    HP303 = 303 {
        reason: "MountTooSmall",
        title: "the mount's size limit leaves room",
        why: "size= limits a mount: beyond it, mmap fails with ENOMEM although the pool has pages. min_size= \
              reserves pages for the mount as long as it exists: the pool counts them as reserved, and only this \
              mount can use them.",
        how: "for --dir, f_bfree compared with --need. fail: less than --need, or no page. warn: one page and no \
              --need, so some steps are skipped. With --workload dpdk:legacy-mem, fail also if too few pages are free \
              beside those that min_size= keeps. skip: no --dir, or HP301 does not pass.",
        remedy: "unmount it and mount it again with a larger size= or without one; a remount reports success but \
                 does not change size=",
        per_size: true,
        mandatory: false,
    }
    HP304 = 304 {
        reason: "MountOutOfInodes",
        title: "the mount has free inodes",
        why: "nr_inodes= limits the number of files of a mount; beyond it, creating a file fails with ENOSPC.",
        how: "for --dir: free inodes, or ENOSPC where fstatfs does not report them (it does only with size= or \
              min_size=). fail: none is free. warn: fewer than the pages of --need, for DPDK without \
              --single-file-segments. skip: no --dir, or HP301 does not pass.",
        remedy: "remove files from the mount, or unmount it and mount it again without nr_inodes=",
        per_size: true,
        mandatory: false,
    }
    HP305 = 305 {
        reason: "MountHidden",
        title: "no other mount hides this one",
        why: "A hugetlbfs that is mounted on top of another hides its files and may have another page size; DPDK is \
              known to hang on it.",
        how: "mountinfo shows which mount a lookup of the path reaches. warn: another mount, which hides a \
              hugetlbfs of this size (with --dir: of any size, at its path or above). A bind mount that shows the \
              same files hides nothing. unknown: mountinfo cannot be read. skip: no mount that could be hidden.",
        remedy: "unmount the mount on top if it is not needed, or mount a hugetlbfs at a path that no other mount hides",
        per_size: true,
        mandatory: false,
    }
    HP306 = 306 {
        reason: "MountNotLockable",
        title: "DPDK can lock the hugetlbfs mounts that it finds",
        why: "DPDK without --huge-dir opens and locks the first hugetlbfs of each page size in /proc/mounts when it \
              starts, with --in-memory too and also for sizes that it does not use. If one cannot be opened, it \
              stops with \"Cannot get hugepage information\", although it needs no mount.",
        how: "a separate process opens, locks and lists each of them. fail: refused, or the path leads nowhere: \
              another mount hides it, or it has a space, which DPDK reads as \\040. unknown: another process holds \
              the lock. skip: no hugetlbfs is mounted; QEMU; --dir; or seccomp forbids flock (HP407).",
        remedy: "let the workload's user read the directory (uid=, gid= and mode= of the mount), or unmount it if \
                 nothing uses it; with --huge-dir DPDK looks at that directory alone",
        per_size: false,
        mandatory: false,
    }
    HP307 = 307 {
        reason: "RuntimeDirectoryNotWritable",
        title: "DPDK can create its runtime directory",
        why: "DPDK keeps its configuration, a lock and the socket of its telemetry in $RUNTIME_DIRECTORY/dpdk, else for \
              root in /var/run/dpdk, else in $XDG_RUNTIME_DIR/dpdk or /tmp/dpdk. Without it, it stops with \"Cannot \
              create runtime directory\", or with --in-memory with \"Cannot access DPDK runtime directory\". If the file system is \
              full, it is killed by SIGBUS.",
        how: "faccessat and statvfs of the directory of the default --file-prefix, or of the deepest one above it that \
              exists. It creates nothing. fail: not writable, such as on a read-only file system; the umask takes the \
              owner's rights from what DPDK creates; the path is too long for a Unix socket; or the space is less than \
              DPDK needs with --huge-dir, see docs/reference/workloads.md. skip: in a container, where the workload may \
              have other files; other workloads.",
        remedy: "make the directory writable for the workload's user, or set RUNTIME_DIRECTORY or XDG_RUNTIME_DIR to \
                 a short path that is",
        per_size: false,
        mandatory: false,
    }
}
