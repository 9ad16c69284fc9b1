//! Four NUMA nodes, and pages of 1Gi that were asked for at boot.

use std::path::Path;

use crate::Case;
use crate::machine::Shape;

pub(crate) const CASES: &[Case] = &[
    ("four nodes: a page of 1Gi that boot put elsewhere is missed where it was asked for", elsewhere),
    ("four nodes: each is asked for its pages of 2Mi", each),
];

fn elsewhere(prepared: &Path) {
    // Low memory of node 0 is in use when the pages are laid out: the kernel takes another node's and says nothing.
    let shape = Shape {
        boot: "hugepagesz=1G hugepages=0:1,1:1,2:1,3:1",
        ..Shape::of("bookworm", &[3072, 3072, 3072, 3072])
    };
    let log = shape.run(
        prepared,
        r"
run pools cat /sys/devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages \
    /sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages \
    /sys/devices/system/node/node2/hugepages/hugepages-1048576kB/nr_hugepages \
    /sys/devices/system/node/node3/hugepages/hugepages-1048576kB/nr_hugepages
run check hugeprobe check -o json --only HP1
run expect hugeprobe check -o json --only HP1 --expect '1Gi@numa0>=1'
run need hugeprobe check -o json --only HP509 --need 1Gi=1@numa3
run need-here hugeprobe check -o json --only HP509 --need 1Gi=1@numa0
",
    );
    let pools: Vec<u64> =
        log.said("pools").out.split_whitespace().map(|pages| pages.parse().unwrap()).collect();
    assert_eq!(pools[0], 0, "this kernel found a page on node 0: {pools:?}");
    log.expect("check", "fail", &[("HP104", "fail")]);
    log.expect("expect", "fail", &[("HP103", "fail")]);
    log.expect("need", "pass", &[("HP509", "pass")]);
    log.expect("need-here", "fail", &[("HP509", "fail")]);
}

fn each(prepared: &Path) {
    let shape = Shape::of("bookworm", &[1024; 4]);
    let log = shape.run(
        prepared,
        r"
pool 0 2048 1
pool 1 2048 3
pool 3 2048 7
run check hugeprobe check -o json
run expect hugeprobe check -o json --expect '2Mi@numa3>=7' --expect '2Mi@numa2=0' --expect '2Mi>=11'
run need hugeprobe check -o json --need 2Mi=1@numa0 --need 2Mi=3@numa1 --need 2Mi=7@numa3
run none hugeprobe check -o json --need 2Mi=1@numa2
",
    );
    log.expect("check", "pass", &[("HP506", "pass")]);
    log.expect("expect", "pass", &[("HP103", "pass")]);
    log.expect("need", "pass", &[("HP509", "pass")]);
    log.expect("none", "fail", &[("HP509", "fail")]);
}
