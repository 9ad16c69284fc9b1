//! Two NUMA nodes with uneven pools: what is where, and whether that is where it is wanted.

use std::path::Path;

use crate::Case;
use crate::machine::Shape;

pub(crate) const CASES: &[Case] = &[
    (
        "two nodes: pages are where sysfs says, expectation and need are about the node that they name",
        where_they_are,
    ),
    ("two nodes: a process that may use one node's memory gets no other's", bound),
    ("two nodes: --reserve adds to the node named, and gives back what it added, after SIGKILL too", reserve),
    ("two nodes: testpmd and check agree on whether the node asked for has pages", testpmd),
];

const TWO: Shape = Shape::of("bookworm", &[1536, 1536]);

fn where_they_are(prepared: &Path) {
    let log = TWO.run(
        prepared,
        r"
pool 0 2048 8
pool 1 2048 24
run as-it-is hugeprobe check -o json
run expected hugeprobe check -o json --expect '2Mi@numa0>=8' --expect '2Mi@numa1=24' --expect '2Mi=32'
run too-many hugeprobe check -o json --expect '2Mi@numa0>=9'
run no-such-node hugeprobe check -o json --expect '2Mi@numa7>=1'
run need-there hugeprobe check -o json --need 2Mi=20@numa1
run need-here hugeprobe check -o json --need 2Mi=20@numa0
run need-anywhere hugeprobe check -o json --need 2Mi=32
run need-of-none hugeprobe check -o json --need 2Mi=1@numa7
pool 0 2048 0
run one-empty hugeprobe check -o json
run one-empty-expected hugeprobe check -o json --expect '2Mi@numa0>=1'
run at-three hugeprobe check --expect '2Mi@numa0>=1'
",
    );
    log.expect("as-it-is", "pass", &[("HP502", "pass"), ("HP506", "pass"), ("HP507", "pass")]);
    let pools = &log.report("as-it-is")["pools"][0]["numa"];
    let totals: Vec<_> =
        pools.as_array().unwrap().iter().map(|node| node["total"].as_u64().unwrap()).collect();
    assert_eq!(totals, [8, 24], "{pools}");
    log.expect("expected", "pass", &[("HP103", "pass")]);
    log.expect("too-many", "fail", &[("HP103", "fail")]);
    log.expect("no-such-node", "fail", &[("HP103", "fail")]);
    log.expect("need-there", "pass", &[("HP509", "pass")]);
    log.expect("need-here", "fail", &[("HP509", "fail")]);
    log.expect("need-anywhere", "pass", &[("HP509", "pass")]);
    log.expect("need-of-none", "fail", &[("HP509", "fail")]);
    // Nobody said that each node should have some: what the others have works.
    log.expect("one-empty", "pass", &[("HP506", "pass")]);
    log.expect("one-empty-expected", "fail", &[("HP103", "fail")]);
    assert!(log.said("at-three").out.contains("node0 0/0"), "{}", log.said("at-three").out);
}

fn bound(prepared: &Path) {
    let log = TWO.run(
        prepared,
        r#"
pool 0 2048 4
pool 1 2048 16
mkdir /sys/fs/cgroup/first
echo 0 >/sys/fs/cgroup/first/cpuset.mems
within() { sh -c 'echo $$ >/sys/fs/cgroup/first/cgroup.procs && exec "$@"' within "$@"; }
run enough within hugeprobe check -o json --need 2Mi=4
run too-few within hugeprobe check -o json --need 2Mi=5
run elsewhere within hugeprobe check -o json --need 2Mi=2@numa1
pool 0 2048 1
run one-page within hugeprobe check -o json
pool 0 2048 0
run no-page within hugeprobe check -o json
pool 0 2048 4
echo 4M >/sys/fs/cgroup/first/hugetlb.2MB.max
run limited within hugeprobe check -o json --need 2Mi=4
"#,
    );
    log.expect("enough", "pass", &[("HP509", "pass")]);
    // Sixteen pages are free, and none of them may be had here.
    log.expect("too-few", "fail", &[("HP509", "fail")]);
    log.expect("elsewhere", "fail", &[("HP509", "fail")]);
    // What is free on the other node is not planned with, and an allowed node without a free page is busy, not broken.
    log.expect("one-page", "pass", &[("HP501", "pass"), ("HP506", "pass"), ("HP507", "pass")]);
    log.expect("no-page", "unknown", &[("HP501", "unknown")]);
    log.expect("limited", "fail", &[("HP509", "fail")]);
}

fn reserve(prepared: &Path) {
    let log = TWO.run(
        prepared,
        r#"
pool 0 2048 2
pool 1 2048 5
each() { for node in 0 1; do cat /sys/devices/system/node/node$node/hugepages/hugepages-2048kB/nr_hugepages; done; }
run check hugeprobe check -o json --reserve 2Mi=16@numa1 --expect '2Mi@numa1=21' --expect '2Mi@numa0=2'
run after each
run walk sh -c 'hugeprobe walk --reserve 2Mi=16@numa0 --pause </dev/ttyS0 >/dev/null & walk=$!
    for i in $(seq 300); do
        [ "$(cat /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages)" = 18 ] && break
        sleep 0.1
    done
    cat /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages
    kill -9 $walk; wait; sleep 2'
run after-kill each
"#,
    );
    log.expect("check", "pass", &[("HP103", "pass")]);
    assert_eq!(log.said("after").out.split_whitespace().collect::<Vec<_>>(), ["2", "5"]);
    assert_eq!(log.said("walk").out.trim(), "18", "{:?}", log.said("walk"));
    assert_eq!(log.said("after-kill").out.split_whitespace().collect::<Vec<_>>(), ["2", "5"]);
}

fn testpmd(prepared: &Path) {
    let script = r"
pool 0 2048 2
pool 1 2048 24
pair() {
    rm -f /tmp/socket
    start='testpmd --no-pci --in-memory --single-file-segments'
    $start -l 0,1 --file-prefix a --socket-mem $1 --vdev net_vhost0,iface=/tmp/socket -- --no-mlockall --no-numa --socket-num $2 \
        --total-num-mbufs=1025 --forward-mode=rxonly --auto-start --stats-period 1 >/tmp/vhost 2>&1 </dev/null &
    vhost=$!
    for i in $(seq 300); do [ -S /tmp/socket ] && break; kill -0 $vhost 2>/dev/null || break; sleep 0.1; done
    $start -l 0,1 --file-prefix b --socket-mem $1 --vdev net_virtio_user0,path=/tmp/socket -- --no-mlockall --no-numa --socket-num $2 \
        --total-num-mbufs=1025 --forward-mode=txonly --auto-start --stats-period 1 >/tmp/virtio 2>&1 </dev/null &
    virtio=$!
    for i in $(seq 600); do
        frames=$(sed -n 's/.*RX-packets: \([0-9]*\).*/\1/p' /tmp/vhost | tail -1)
        [ ${frames:-0} -gt 1000 ] && break
        kill -0 $vhost 2>/dev/null && kill -0 $virtio 2>/dev/null || break
        sleep 0.1
    done
    kill $vhost $virtio 2>/dev/null
    wait
    cat /tmp/vhost /tmp/virtio >&2
    [ ${frames:-0} -gt 1000 ]
}
run there pair 0,16 1
run check-there hugeprobe check -o json --need 2Mi=16@numa1
run here pair 16,0 0
run check-here hugeprobe check -o json --need 2Mi=16@numa0
";
    let log = TWO.run(prepared, script);
    for (workload, check, verdict) in [("there", "check-there", "pass"), ("here", "check-here", "fail")] {
        let said = log.said(workload);
        assert_eq!(said.code == 0, verdict == "pass", "{workload}: {}", said.errors);
        log.expect(check, verdict, &[("HP509", verdict)]);
    }
}
