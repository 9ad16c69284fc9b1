//! Machines that are broken, bare, too large, or mean harm.

use super::*;

pub(crate) fn killed_at_first_touch() -> Report {
    let died = |id| {
        not_pass(
            id,
            "2Mi",
            Outcome::Unknown,
            "memfd: the memfd worker was killed",
            Because::new("a result for this check", "SIGBUS killed it at the step 'write one byte'")
                .remedy("run it again"),
        )
    };
    let found = vec![
        pass(HP101, "2Mi", "64 pages"),
        pass(HP102, "2Mi", "64 free"),
        not_pass(
            HP401,
            "2Mi",
            Outcome::Fail,
            "this cgroup may use none of the 64 free pages",
            Because::new("at least 1 page", "0 B in /sys/fs/cgroup/unified/pod/hugetlb.2MB.max").remedy(
                "raise the container's hugepages-2Mi limit, or\n  echo 33554432 > /sys/fs/cgroup/unified/pod/hugetlb.2MB.max",
            ),
        ),
        pass(HP402, "2Mi", "no reservation limit"),
        pass(HP501, "2Mi", "2 reserved, none taken"),
        not_pass(
            HP502,
            "2Mi",
            Outcome::Fail,
            "memfd: SIGBUS at the step 'write one byte of the first page'",
            Because::new("the memfd worker survives the step", "SIGBUS killed it at the step 'write one byte of the first page'"),
        ),
        died(HP503),
        died(HP504),
        died(HP505),
    ];
    report(
        Verdict::Fail,
        &[("2Mi", Verdict::Fail)],
        vec![pool("2Mi", 64, 64, &[(64, 64)])],
        sorted(vec![found, sharing_not_built("2Mi"), not_asked("2Mi")]),
    )
}

pub(crate) fn need_unmet() -> Report {
    let found = vec![
        pass(HP101, "2Mi", "64 pages"),
        not_pass(
            HP102,
            "2Mi",
            Outcome::Warn,
            "1 page is free and promised to nobody",
            Because::new("2 pages, to run every step", "1 page"),
        ),
        not_pass(
            HP509,
            "2Mi",
            Outcome::Fail,
            "1 of 512 pages could be had",
            Because::new("2Mi=512@numa0", "mmap of 512 pages: ENOMEM")
                .remedy("free 511 pages on NUMA node 0, or ask for fewer"),
        ),
        not_pass(
            HP403,
            "",
            Outcome::Fail,
            "RLIMIT_MEMLOCK is 8 MiB",
            Because::new("1 GiB for --workload dpdk", "8 MiB").remedy("ulimit -l unlimited"),
        ),
        skip(HP407, "", "no seccomp filter"),
        pass(HP404, "", "1048576 descriptors"),
    ];
    let mut found = sorted(vec![found, allocation("2Mi")]);
    found.iter_mut().for_each(|finding| {
        if finding.id == HP503 {
            *finding = skip(HP503, "2Mi", "only one page is available");
        }
    });
    let mut report = report(
        Verdict::Fail,
        &[("2Mi", Verdict::Fail)],
        vec![pool("2Mi", 64, 1, &[(0, 32), (1, 32)])],
        found,
    );
    report.profile = "uid 1000".into();
    report.duration_ms = 12_345;
    report.request.need = vec!["2Mi=512@numa0".parse().unwrap()];
    report.request.directory = Some("/dev/hugepages".into());
    report
}

pub(crate) fn unknown_counters() -> Report {
    let denied = || {
        Unreadable("cannot read /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages: EACCES".to_owned())
    };
    let garbage = || {
        Malformed("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages holds 'x'".to_owned())
    };
    let node = |node, free: Reading<u64>| NumaPool { node, total: Known(8), free, surplus: Known(0) };
    let pool = Pool {
        size: size("2Mi"),
        total: Known(16),
        free: denied(),
        reserved: Absent,
        surplus: Known(0),
        overcommit: garbage(),
        mempolicy: Absent,
        numa: vec![node(0, Known(8)), node(1, denied())],
    };
    let found = vec![
        pass(HP101, "2Mi", "16 pages"),
        not_pass(
            HP102,
            "2Mi",
            Outcome::Unknown,
            "the number of free pages is not known",
            Because::new(
                "a number in free_hugepages",
                "cannot read /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages: EACCES",
            )
            .remedy("run as root, or make the file readable"),
        ),
        not_pass(
            HP101,
            "1Gi",
            Outcome::Fail,
            "the kernel does not offer this size",
            Because::new("1Gi>=4", "hugepages-2048kB alone under /sys/kernel/mm/hugepages"),
        ),
    ];
    let mut report = report(
        Verdict::Fail,
        &[("2Mi", Verdict::Unknown), ("1Gi", Verdict::Fail)],
        vec![pool],
        sorted(vec![found]),
    );
    report.host = Host { name: String::new(), kernel: String::new(), boot_id: Unreadable("EACCES".into()) };
    report
}

pub(crate) fn nothing_there() -> Report {
    report(Verdict::None, &[], vec![], sorted(vec![machine()]))
}

pub(crate) fn nothing_of_this_size() -> Report {
    let found =
        vec![skip(HP101, "1Gi", "nothing there, and nothing asked for"), skip(HP107, "1Gi", "not asked for")];
    report(Verdict::None, &[("1Gi", Verdict::None)], vec![pool("1Gi", 0, 0, &[(0, 0), (0, 0)])], found)
}

/// Many sizes, NUMA nodes, files and lines.
pub(crate) fn long_lists() -> Report {
    let sizes = ["64Ki", "2Mi", "32Mi", "512Mi", "1Gi", "16Gi"];
    let nodes: Vec<_> = (0..12).map(|node| (node, 1000)).collect();
    let files: Vec<_> = (0..200).map(|file| format!("/dev/hugepages/rtemap_{file}")).collect();
    let remedy: Vec<_> = files.iter().map(|file| format!("  rm {file}")).collect();
    let mut found: Vec<Finding> = CHECKS
        .iter()
        .filter(|check| check.per_size && check.id != HP105)
        .map(|check| match check.id.number() % 4 {
            0 => skip(check.id, "2Mi", &format!("no right to try {}", check.title)),
            1 => pass(check.id, "2Mi", check.title),
            2 => not_pass(
                check.id,
                "2Mi",
                Outcome::Warn,
                "somebody should look at this",
                Because::new("a thing", "another thing"),
            ),
            _ => not_pass(
                check.id,
                "2Mi",
                Outcome::Unknown,
                "it could not be told",
                Because::new("a word", "silence"),
            ),
        })
        .collect();
    found.push(not_pass(
        HP105,
        "2Mi",
        Outcome::Fail,
        &format!("held by nobody: {}", files.join(", ")),
        Because::new("no such file", files.join(" ")).remedy(format!("remove them:\n{}", remedy.join("\n"))),
    ));
    report(
        Verdict::Fail,
        &sizes.map(|text| (text, if text == "2Mi" { Verdict::Fail } else { Verdict::Unknown })),
        sizes.map(|text| pool(text, 12_000, 66, &nodes)).into(),
        sorted(vec![found]),
    )
}

/// A machine that means harm to the terminal, and to the reader.
pub(crate) fn hostile() -> Report {
    let evil = "/dev/hugepages/a\u{1b}[2J\u{1b}]0;x\u{7}\nverdict  pass\r\u{9b}1m\u{202e}txt.\u{0}";
    let found = vec![
        pass(HP101, "2Mi", evil),
        not_pass(
            HP105,
            "2Mi",
            Outcome::Fail,
            evil,
            Because::new(evil, format!("x {evil}")).remedy(format!("rm {evil}")),
        )
        .with(evil, json!([evil])),
        skip(HP506, "2Mi", evil),
        not_pass(HP403, "", Outcome::Warn, evil, Because::new(evil, evil)),
    ];
    let mut report = report(
        Verdict::Fail,
        &[("2Mi", Verdict::Fail)],
        vec![pool("2Mi", u64::MAX, u64::MAX, &[(1, 2)])],
        found,
    );
    report.host = Host { name: evil.into(), kernel: evil.into(), boot_id: Malformed(evil.into()) };
    report.profile = evil.into();
    report.duration_ms = u64::MAX;
    report.measurements.insert(evil.into(), json!(evil));
    report
}
