//! The oldest and the newest kernel that Debian has: the same words from both.

use std::path::Path;

use crate::Case;
use crate::machine::Shape;

pub(crate) const CASES: &[Case] =
    &[("the oldest kernel: before MADV_POPULATE_WRITE", oldest), ("the newest kernel", newest)];

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
