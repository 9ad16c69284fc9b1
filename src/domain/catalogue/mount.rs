//! HP3xx: the hugetlbfs mount.

checks! {
    HP301 = 301 {
        reason: "NotThisHugetlbfs",
        title: "the directory is hugetlbfs of this page size",
        why: "DPDK and QEMU take the page size from the file system. On another one they stop, or go on with 4 KiB pages and \
              say nothing.",
        how: "fstatfs of --dir: magic number and block size, never the path's name. fail: no hugetlbfs, or of another size; for \
              DPDK, a path that it cannot find in /proc/mounts: with a space, through a symbolic link, relative, or with two \
              slashes. unknown: the path may not be searched. Without --dir, pass: where one is mounted. skip: no mount of \
              this size, which memfd does not need.",
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
}
