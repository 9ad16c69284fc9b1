//! Machines on which nothing, or nothing much, is wrong.

use super::*;

/// The example that the table was designed by.
pub(crate) fn design() -> Report {
    let small = vec![
        pass(HP101, "2Mi", "512 pages"),
        pass(HP102, "2Mi", "508 free"),
        pass(HP103, "2Mi", "as expected (2Mi>=512)"),
        pass(HP301, "2Mi", "pagesize=2M"),
        pass(HP303, "2Mi", "no size= limit"),
        not_pass(
            HP401,
            "2Mi",
            Outcome::Warn,
            "this cgroup may use 8 of the 508 free pages",
            Because::new("508 pages", "8 pages").remedy("raise /sys/fs/cgroup/a/hugetlb.2MB.max"),
        )
        .with("limit_bytes", 16 << 20),
        pass(HP501, "2Mi", "reserve +2"),
        pass(HP502, "2Mi", "first byte -1"),
        pass(HP503, "2Mi", "second byte -1"),
        pass(HP504, "2Mi", "all given back"),
        pass(HP505, "2Mi", "populate -2"),
        pass(HP601, "2Mi", "frontend and backend over vhost-user: 16 pages"),
        pass(HP604, "2Mi", "4096 frames intact"),
    ];
    let leaked =
        Because::new("a free page", "/dev/hugepages/rtemap_0 ... rtemap_13, 14 GiB, last used 3 days ago")
            .remedy("remove these 14 files, or start their owner again");
    let large = vec![not_pass(
        HP105,
        "1Gi",
        Outcome::Fail,
        "no free page: 14 of 16 are held by files that no process has open",
        leaked,
    )];
    let mut report = report(
        Verdict::Fail,
        &[("2Mi", Verdict::Warn), ("1Gi", Verdict::Fail)],
        vec![pool("2Mi", 512, 508, &[(254, 256), (254, 256)]), pool("1Gi", 16, 0, &[(0, 8), (0, 8)])],
        sorted(vec![small, large]),
    );
    report.profile = "restricted".into();
    report
}

pub(crate) fn allocation(about: &str) -> Vec<Finding> {
    vec![
        pass(HP501, about, "2 reserved, none taken"),
        pass(HP502, about, "first byte takes 1"),
        pass(HP503, about, "second takes 1"),
        pass(HP504, about, "all given back"),
        pass(HP505, about, "populate takes 2 at once"),
    ]
}

pub(crate) fn all_pass() -> Report {
    let of = |about: &str| {
        let mut findings = vec![
            pass(HP101, about, "16 pages"),
            pass(HP102, about, "16 free"),
            pass(HP103, about, "as expected (1Gi@numa0>=8)"),
            pass(HP105, about, "every page in use has an owner"),
            pass(HP106, about, "no surplus"),
            pass(HP301, about, "hugetlbfs of this size"),
            pass(HP302, about, "writable"),
            pass(HP401, about, "no fault limit"),
            pass(HP402, about, "no reservation limit"),
            pass(HP506, about, "each of 2 NUMA nodes gives its own"),
            pass(HP507, about, "each of 2 NUMA nodes gives its own"),
            pass(HP508, about, "SysV segment works"),
            pass(HP601, about, "same file at the backend"),
            pass(HP602, about, "right page size there"),
            pass(HP603, about, "bytes seen on both sides"),
            pass(HP604, about, "4096 frames intact"),
        ];
        findings.extend(allocation(about));
        findings
    };
    report(
        Verdict::Pass,
        &[("2Mi", Verdict::Pass), ("1Gi", Verdict::Pass)],
        vec![
            pool("2Mi", 512, 512, &[(256, 256), (256, 256)]),
            Pool {
                reserved: Known(2),
                surplus: Known(1),
                overcommit: Known(4),
                ..pool("1Gi", 16, 16, &[(8, 8), (8, 8)])
            },
        ],
        sorted(vec![of("2Mi"), of("1Gi"), machine()]),
    )
}

/// `hugeprobe check --reserve 2Mi=16` where no pool was ever set: the first thing that anybody sees of hugeprobe.
pub(crate) fn fresh_machine() -> Report {
    let mut others = not_asked("2Mi");
    others.retain(|finding| finding.id != HP109);
    let pool_and_limits = vec![
        pass(HP101, "2Mi", "16 pages"),
        pass(HP102, "2Mi", "16 free"),
        pass(HP105, "2Mi", "every page in use has an owner"),
        pass(HP106, "2Mi", "no surplus"),
        pass(HP109, "2Mi", "16 pages added by --reserve"),
        pass(HP401, "2Mi", "no fault limit"),
        pass(HP402, "2Mi", "no reservation limit"),
        skip(HP506, "2Mi", "one NUMA node"),
        skip(HP507, "2Mi", "one NUMA node"),
        pass(HP508, "2Mi", "SysV segment works"),
    ];
    let mut report = report(
        Verdict::Unknown,
        &[("2Mi", Verdict::Unknown)],
        vec![pool("2Mi", 16, 16, &[(16, 16)])],
        sorted(vec![
            others,
            pool_and_limits,
            no_directory("2Mi"),
            allocation("2Mi"),
            sharing_not_built("2Mi"),
            machine(),
        ]),
    );
    report.duration_ms = 214;
    let given = |node, pages| GivenBack { pool: PoolId { size: size("2Mi"), node }, pages };
    report.replayed = vec![
        Replayed { run: "7-a".into(), given: vec![], problems: vec![] },
        Replayed {
            run: "8-b".into(),
            given: vec![given(None, 4), given(Some(1), 2)],
            problems: vec!["busy".into()],
        },
    ];
    report
}

pub(crate) fn one_page_of_1gi() -> Report {
    let found = vec![
        pass(HP101, "1Gi", "1 page"),
        pass(HP102, "1Gi", "1 free"),
        pass(HP107, "1Gi", "pdpe1gb"),
        pass(HP501, "1Gi", "1 reserved, none taken"),
        pass(HP502, "1Gi", "first byte takes 1"),
        skip(HP503, "1Gi", "only one page is available"),
        pass(HP504, "1Gi", "all given back"),
        pass(HP505, "1Gi", "populate takes 1 at once"),
        skip(HP508, "1Gi", "only one page is available"),
        skip(HP506, "1Gi", "one NUMA node"),
        skip(HP507, "1Gi", "one NUMA node"),
        pass(HP601, "1Gi", "same file at the backend"),
        pass(HP602, "1Gi", "right page size there"),
        pass(HP603, "1Gi", "bytes seen on both sides"),
        pass(HP604, "1Gi", "4096 frames intact"),
        skip(HP108, "", "/proc/meminfo does not tell"),
    ];
    report(
        Verdict::Pass,
        &[("1Gi", Verdict::Pass)],
        vec![pool("1Gi", 1, 1, &[(1, 1)])],
        sorted(vec![found, no_directory("1Gi")]),
    )
}

pub(crate) fn measured() -> Report {
    let mut found = allocation("2Mi");
    found.push(pass(HP701, "2Mi", "populate 9.8 GiB/s, write 11 GiB/s, read 14 GiB/s; two threads 21 GiB/s"));
    found.push(pass(HP702, "2Mi", "random reads over 128 MiB: 38 ns on 2Mi, 91 ns on 4 KiB pages"));
    let mut report =
        report(Verdict::Unknown, &[("2Mi", Verdict::Unknown)], vec![pool("2Mi", 64, 64, &[(64, 64)])], found);
    report.request.measure = true;
    report.request.expect = vec!["2Mi>=64".parse().unwrap()];
    report.request.peer = Some(Peer { socket: "/run/vhost".into(), listen: true, transmit: 0 });
    report.measurements.insert("2Mi".into(), json!({"populate_bytes_per_second": 10_522_669_875_u64}));
    report
}

pub(crate) fn only() -> Report {
    let found = vec![
        pass(HP101, "2Mi", "512 pages"),
        pass(HP102, "2Mi", "508 free"),
        skip(HP103, "2Mi", "no --expect"),
        pass(HP501, "2Mi", "2 reserved, none taken"),
        pass(HP403, "", "unlimited"),
    ];
    let mut report =
        report(Verdict::Pass, &[("2Mi", Verdict::Pass)], vec![pool("2Mi", 512, 508, &[(508, 512)])], found);
    report.only = ["HP1", "HP501", "HP403"].map(|text| text.parse().unwrap()).into();
    report
}
