//! A report with the evidence of a real run: owners of pages, cgroups, and both sides of the exchange.

use serde_json::{Value, json};

use super::*;

/// A node on which QEMU and OVS have most pages of 2Mi, and a pod may use 8 of the others.
pub(crate) fn busy() -> Report {
    let levels = |limits: [Value; 3], usage: [u64; 3]| {
        let directories =
            ["/kubepods.slice/kubepods-pod7.slice/cri-9.scope", "/kubepods.slice/kubepods-pod7.slice", ""];
        let level = |((directory, limit), usage): ((&str, Value), u64)| json!({"directory": format!("/sys/fs/cgroup{directory}"), "limit": limit, "usage": usage});
        directories.into_iter().zip(limits).zip(usage).map(level).collect::<Value>()
    };
    let short = Because::new(
        "room for 64 pages",
        "/sys/fs/cgroup/kubepods.slice/kubepods-pod7.slice/cri-9.scope/hugetlb.2MB.max is 16 MiB, with 0 B in use",
    )
    .remedy("raise /sys/fs/cgroup/kubepods.slice/kubepods-pod7.slice/cri-9.scope/hugetlb.2MB.max for this run, or raise the container's limit of hugepages-2Mi:\n  echo 134217728 > /sys/fs/cgroup/kubepods.slice/kubepods-pod7.slice/cri-9.scope/hugetlb.2MB.max");
    let unmet = Because::new("64 pages on NUMA node 0", "24 pages of NUMA node 0 are free").remedy(
        "free 40 pages of NUMA node 0, or add them:\n  echo 296 > /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages",
    );
    let holders = json!([
        {"pid": 812, "command": "ovs-vswitchd", "pages": 256},
        {"pid": 4242, "command": "qemu-system-x86", "pages": 128},
    ]);
    let mut found = vec![
        pass(HP101, "2Mi", "512 pages"),
        pass(HP102, "2Mi", "128 of 512 free, 16 of them reserved"),
        skip(HP103, "2Mi", "no --expect"),
        pass(HP105, "2Mi", "every page in use has an owner").with("holders", holders),
        not_pass(HP401, "2Mi", Outcome::Fail, "this cgroup may use 8 of the 64 pages needed", short)
            .with("complete", true)
            .with("levels", levels([json!(16 << 20), json!("max"), json!(null)], [0, 16 << 20, 768 << 20])),
        pass(HP402, "2Mi", "no cgroup limit")
            .with("complete", false)
            .with("levels", levels([json!("max"), json!("max"), json!(null)], [0, 0, 0])),
        not_pass(HP509, "2Mi", Outcome::Fail, "24 of 64 pages could be had", unmet),
        pass(HP410, "", "room for 512 MiB beside huge pages").with(
            "memory",
            json!({"path": "/", "complete": true, "levels": [
                {"directory": "/sys/fs/cgroup/memory/pod7", "limit": 1 << 30, "usage": 256 << 20},
                {"directory": "/sys/fs/cgroup/memory", "limit": null, "usage": 9_u64 << 30},
            ]}),
        ),
    ];
    found.extend(allocation("2Mi"));
    found.extend(exchange());
    let mut pool = Pool {
        reserved: Known(16),
        surplus: Known(32),
        overcommit: Known(64),
        ..pool("2Mi", 512, 128, &[(24, 256), (104, 256)])
    };
    pool.numa.iter_mut().filter(|node| node.node == 1).for_each(|node| node.surplus = Known(32));
    let found = sorted(vec![found, machine()]);
    let mut report = report(Verdict::Fail, &[("2Mi", Verdict::Fail)], vec![pool], found);
    report.request.need = vec!["2Mi=64@numa0".parse().unwrap()];
    report
}

/// What both sides report of a session that went well until the table was replaced.
fn exchange() -> Vec<Finding> {
    let sides = |finding: Finding, session: &str, frontend: Value, backend: Value| {
        let side = |agreed: Value| json!({"agreed": agreed, "outcome": "pass"});
        let names = [format!("frontend:{session}"), format!("backend:{session}")];
        finding.with(&names[0], side(frontend)).with(&names[1], side(backend))
    };
    let main = |id, summary, agreed: Value| {
        sides(pass(id, "2Mi", summary), "frontend-first", agreed.clone(), agreed)
    };
    let failed = |id, summary: &str| {
        let because = Because::new("the backend maps the region", "mmap: ENOMEM (Cannot allocate memory)");
        not_pass(id, "2Mi", Outcome::Fail, &format!("backend:frontend-first: {summary}"), because)
            .with(
                "frontend:frontend-first",
                json!({"outcome": "unknown", "summary": "the backend disconnected"}),
            )
            .with("backend:frontend-first", json!({"outcome": "fail", "summary": summary}))
    };
    let not_reached = Because::new("the session reaches this check", "the session stopped before it");
    vec![
        main(HP601, "same file", json!({"device": 40, "inode": 49505, "offset": 0})),
        main(HP602, "2Mi on both sides", json!({"page_bytes": 2_097_152, "is_hugetlbfs": true})),
        main(
            HP603,
            "bytes seen both ways",
            json!({"frontend_wrote": "57b4fdd6220bba24", "backend_wrote": "0e4164ef51dbc0da"}),
        ),
        main(HP604, "1152 frames intact", json!({"frames": 1152})),
        main(HP605, "frontend first", json!({"first": "frontend"})),
        sides(
            pass(HP606, "2Mi", "backend first"),
            "backend-first",
            json!({"HP605.first": "backend"}),
            json!({"HP605.first": "backend"}),
        ),
        sides(
            pass(HP608, "2Mi", "private stays private"),
            "private",
            json!({"files": [[39, 48450]]}),
            json!({"files": [[39, 48450]]}),
        ),
        sides(
            pass(HP609, "2Mi", "4 KiB refused"),
            "small",
            json!({"refused": true}),
            json!({"refused": true}),
        ),
        not_pass(HP610, "2Mi", Outcome::Unknown, "not reached: the backend cannot map region 1", not_reached),
        failed(HP611, "the backend cannot map region 1"),
    ]
}
