//! The oldest and the newest kernel that Debian has: the same words from both.

use std::path::Path;

use crate::Case;
use crate::machine::Shape;

pub(crate) const CASES: &[Case] = &[
    ("the oldest kernel: before MADV_POPULATE_WRITE", oldest),
    ("the newest kernel", newest),
    ("the newest kernel: huge pages count against memory.max", accounting),
];

const SCRIPT: &str = r#"
run kernel uname -r
pool 0 2048 20
pool 1 2048 20
run pass hugeprobe check -o json
run need hugeprobe check -o json --need 2Mi=40
run too-many hugeprobe check -o json --need 2Mi=41
mkdir /sys/fs/cgroup/group /huge
echo 8M >/sys/fs/cgroup/group/hugetlb.2MB.max
within() { sh -c 'echo $$ >/sys/fs/cgroup/group/cgroup.procs && exec "$@"' within "$@"; }
run limited within hugeprobe check -o json --need 2Mi=5
echo max >/sys/fs/cgroup/group/hugetlb.2MB.max
echo 8M >/sys/fs/cgroup/group/hugetlb.2MB.rsvd.max
run reserved within hugeprobe check -o json --need 2Mi=5
mount -t hugetlbfs -o pagesize=2M,size=8M none /huge
run directory hugeprobe check -o json --dir /huge --need 2Mi=4
run small hugeprobe check -o json --dir /huge --need 2Mi=5
run free cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages
run reserve hugeprobe check -o json --reserve 2Mi=8@numa1
run after cat /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages
run walk hugeprobe walk
"#;

fn says_the_same(prepared: &Path, kernel: &'static str) -> String {
    let log = Shape::of(kernel, &[1024, 1024]).run(prepared, SCRIPT);
    log.expect("pass", "pass", &[("HP505", "pass"), ("HP506", "pass"), ("HP604", "pass"), ("HP508", "pass")]);
    log.expect("need", "pass", &[("HP509", "pass")]);
    log.expect("too-many", "fail", &[("HP509", "fail")]);
    log.expect("limited", "fail", &[("HP509", "fail")]);
    log.expect("reserved", "fail", &[("HP509", "fail")]);
    log.expect("directory", "pass", &[("HP509", "pass")]);
    log.expect("small", "fail", &[("HP509", "fail")]);
    log.expect("reserve", "pass", &[]);
    assert_eq!(log.said("free").out.trim(), "40", "nothing is left behind");
    assert_eq!(log.said("after").out.trim(), "20", "nothing is left behind");
    assert_eq!(log.said("walk").code, 0, "{:?}", log.said("walk"));
    log.said("kernel").out.trim().to_owned()
}

fn oldest(prepared: &Path) {
    let kernel = says_the_same(prepared, "bullseye");
    assert!(kernel.starts_with("5.10."), "{kernel}");
}

fn newest(prepared: &Path) {
    let kernel = says_the_same(prepared, "sid");
    let major: u32 = kernel.split('.').next().unwrap().parse().unwrap();
    assert!(major >= 7, "{kernel}");
}

/// cgroup v2 with `memory_hugetlb_accounting`. 64 pages are free, and memory.max has room for fewer than 32. 16 pages fit,
/// and leave too little for the process itself.
const ACCOUNTING: &str = r#"
umount /sys/fs/cgroup
mount -t cgroup2 -o memory_hugetlb_accounting none /sys/fs/cgroup
run option grep -c memory_hugetlb_accounting /proc/self/mountinfo
echo "+hugetlb +memory" >/sys/fs/cgroup/cgroup.subtree_control
pool 0 2048 64
mkdir /sys/fs/cgroup/group
within() { sh -c 'echo $$ >/sys/fs/cgroup/group/cgroup.procs && exec "$@"' within "$@"; }
run unlimited within hugeprobe check -o json --need 2Mi=48
echo 256M >/sys/fs/cgroup/group/memory.max
run enough within hugeprobe check -o json --need 2Mi=16
echo 64M >/sys/fs/cgroup/group/memory.max
run beside within hugeprobe check -o json --need 2Mi=16
run without-need within hugeprobe check -o json
run too-little within hugeprobe check -o json --need 2Mi=48
echo 1 >/sys/fs/cgroup/group/memory.swap.max
echo 1M >/sys/fs/cgroup/group/memory.max
run of-a-role hugeprobe check -o json --frontend-cgroup /sys/fs/cgroup/group --frontend-need 2Mi=4
run free cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages
"#;

fn accounting(prepared: &Path) {
    let log = Shape::of("sid", &[1024]).run(prepared, ACCOUNTING);
    assert_eq!(log.said("option").out.trim(), "1");
    log.expect("unlimited", "pass", &[("HP401", "pass"), ("HP509", "pass")]);
    log.expect("enough", "pass", &[("HP401", "pass"), ("HP509", "pass")]);
    log.expect("beside", "fail", &[("HP401", "pass"), ("HP410", "fail")]);
    log.expect("without-need", "warn", &[("HP401", "warn")]);
    log.expect("too-little", "fail", &[("HP401", "fail")]);
    log.expect("of-a-role", "fail", &[("HP401", "fail")]);
    assert_eq!(log.said("free").out.trim(), "64", "nothing is left behind");
}
