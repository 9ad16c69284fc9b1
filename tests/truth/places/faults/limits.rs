//! Limits of the process (`soft:hard`, or one number for both), and where and how it is scheduled.

use hugeprobe::domain::catalogue::{HP401, HP404, HP405, HP406, HP409, HP410};

use super::super::control::Control;
use super::super::facts::Need;
use super::super::fault::{
    ALL, ANY_TESTPMD_DIR, ANY_TESTPMD_MEMFD, LEGACY, OVS, QEMU, Spec, TESTPMD, TESTPMD_DIR,
    TESTPMD_DIR_PAGES, TESTPMD_MEMFD, TESTPMD_PAGES, applied, planned,
};
use super::super::plan::Plan;
use crate::workload::Kind;

/// A limit that rarely matters. All of these are one dimension.
macro_rules! other {
    ($name:literal) => {
        Spec { dimension: "other rlimits", ..rlimit!($name, ALL) }
    };
}

/// A limit, as a word of [`crate::place::Place`] with the same name.
macro_rules! rlimit {
    ($limit:literal, $kinds:expr) => {
        rlimit!($limit, $limit, $kinds)
    };
    // If workloads have different thresholds, the name says which workload it is.
    ($name:literal, $limit:literal, $kinds:expr) => {
        applied(concat!("rlimit ", $limit), $name, |scene, value| {
            scene.place.add(format!(concat!($limit, "={}"), value));
            Ok(())
        })
        .kinds($kinds)
    };
}

fn memory(plan: &mut Plan, bytes: &str) {
    let files = vec![(["memory.limit_in_bytes", "memory.max"], bytes.to_owned())];
    plan.controls.push(Control { controller: "memory", files });
}

fn pids(plan: &mut Plan, number: &str) {
    plan.controls.push(Control { controller: "pids", files: vec![(["pids.max"; 2], number.to_owned())] });
}

const UNLIMITED: &str = "18446744073709551615";

pub(super) const SPECS: &[Spec] = &[
    rlimit!("nofile", TESTPMD_MEMFD)
        .harmless(&["25", "26", "10:64"])
        .harmful(&["24", "20", "9:64"])
        .causes(&[HP404]),
    rlimit!("nofile-dir", "nofile", TESTPMD_DIR)
        .harmless(&["32", "33", "12:64"])
        .harmful(&["31", "28", "11:64"])
        .causes(&[HP404]),
    // 23, and two for each of 8 pages.
    rlimit!("nofile-pages", "nofile", TESTPMD_PAGES)
        .harmless(&["39", "40", "12:64"])
        .harmful(&["38", "24"])
        .causes(&[HP404]),
    rlimit!("nofile-dir-pages", "nofile", TESTPMD_DIR_PAGES)
        .harmless(&["46", "12:64"])
        .harmful(&["42", "31", "11:64"])
        .causes(&[HP404]),
    rlimit!("nofile-qemu", "nofile", QEMU)
        .harmless(&["18:64", "19:64"])
        .harmful(&["17:64", "16:64"])
        .causes(&[HP404]),
    // 57, one for each of 32 pages, and one for the memory of each of two peers. With up to 8 more, it depends on
    // chance.
    // From 91 to 98 it depends on chance, and up to 8 may be inherited.
    rlimit!("nofile-ovs", "nofile", OVS).harmless(&["107", "128"]).harmful(&["90", "88"]).causes(&[HP404]),
    rlimit!("inherited", ALL).harmless(&["1", "3", "8"]).causes(&[HP404]),
    // Harmless: 128 GiB + 256 MiB, and 1 TiB. Harmful: 128 GiB, and 1 GiB.
    rlimit!("as", ANY_TESTPMD_MEMFD)
        .harmless(&["137707388928", "1099511627776"])
        .harmful(&["137438953472", "1073741824"])
        .causes(&[HP405]),
    // Harmless: 64 GiB + 256 MiB, and 1 TiB. Harmful: 64 GiB, and 1 GiB.
    rlimit!("as-dir", "as", ANY_TESTPMD_DIR)
        .harmless(&["68987912192", "1099511627776"])
        .harmful(&["68719476736", "1073741824"])
        .causes(&[HP405]),
    rlimit!("as-qemu", "as", QEMU)
        .harmless(&["1610612736"])
        .harmful(&["1073741824", "536870912"])
        .causes(&[HP405]),
    // Harmless: 128 GiB + 1 GiB, and 1 TiB. Harmful: 128 GiB + 768 MiB, and 1 GiB.
    rlimit!("as-ovs", "as", OVS)
        .harmless(&["138512695296", "1099511627776"])
        .harmful(&["138244259840", "1073741824"])
        .causes(&[HP405]),
    rlimit!("fsize", ANY_TESTPMD_MEMFD)
        .harmless(&["1073741824"])
        .harmful(&["1073741823", "1048576"])
        .causes(&[HP406]),
    rlimit!("fsize-ovs", "fsize", OVS)
        .harmless(&["1073741824"])
        .harmful(&["1073741823", "1048576"])
        .causes(&[HP406]),
    rlimit!("fsize-dir", "fsize", TESTPMD_DIR)
        .harmless(&["67108864", "16777216"])
        .harmful(&["16777215", "1048576"])
        .causes(&[HP406]),
    rlimit!("fsize-dir-pages", "fsize", &[Kind::TestpmdDirPages])
        .harmless(&["67108864", "2097152"])
        .harmful(&["2097151", "1048576"])
        .causes(&[HP406]),
    // mmap gives the files their length.
    rlimit!("fsize-legacy", "fsize", LEGACY).harmless(&["67108864", "1048576"]),
    rlimit!("fsize-qemu", "fsize", QEMU)
        .harmless(&["67108864", "16777216"])
        .harmful(&["16777215", "1048576"])
        .causes(&[HP406]),
    other!("memlock").harmless(&["0", "65536", "67108864", UNLIMITED]),
    rlimit!("data-ovs", "data", OVS)
        .harmless(&["137438953472", "134217728"])
        .harmful(&["129138688", "83886080"])
        .causes(&[HP405]),
    // 13 MiB and 5 stacks; with --huge-dir, 6.
    rlimit!("data-memfd", "data", ANY_TESTPMD_MEMFD)
        .harmless(&["8589934592", "57671680"])
        .harmful(&["54525952", "16777216"])
        .causes(&[HP405]),
    rlimit!("data-dir", "data", ANY_TESTPMD_DIR)
        .harmless(&["8589934592", "67108864"])
        .harmful(&["57671680", "16777216"])
        .causes(&[HP405]),
    rlimit!("data-qemu", "data", QEMU).harmless(&["8589934592"]).harmful(&["16777216"]).causes(&[HP405]),
    // The stack of each thread has this size.
    other!("stack").harmless(&["1048576", "33554432", "67108864", UNLIMITED]),
    // This limit does not apply to root.
    other!("nproc").harmless(&["1", "64"]),
    other!("core").harmless(&["0"]),
    other!("sigpending").harmless(&["0", "1"]),
    other!("msgqueue").harmless(&["0"]),
    other!("nice").harmless(&["0"]),
    other!("rtprio").harmless(&["0"]),
    other!("locks").harmless(&["0"]),
    // Threads of both sides: 6 and 4, with --huge-dir 7 and 5.
    planned("pids controller", "pids", pids)
        .needs(&[Need::Controllers])
        .kinds(ANY_TESTPMD_MEMFD)
        .harmless(&["10", "11", "32"])
        .harmful(&["9", "6"])
        .causes(&[HP409]),
    planned("pids controller", "pids-dir", pids)
        .needs(&[Need::Controllers])
        .kinds(ANY_TESTPMD_DIR)
        .harmless(&["12", "13", "32"])
        .harmful(&["11", "7"])
        .causes(&[HP409]),
    // 4 of testpmd, 11 of Open vSwitch, and one for each of two CPUs.
    planned("pids controller", "pids-ovs", pids)
        .needs(&[Need::Controllers])
        .kinds(OVS)
        .harmless(&["17", "18", "32"])
        .harmful(&["16", "12"])
        .causes(&[HP409]),
    // Both sides of testpmd together: 104 and 120 MiB with mlockall, 16 MiB without.
    planned("memory controller", "memory", memory)
        .needs(&[Need::Controllers])
        .kinds(TESTPMD)
        .harmless(&["134217728", "536870912"])
        .harmful(&["25165824"])
        .causes(&[HP410]),
    // 50 MiB of testpmd, and 28 MiB and 12 stacks of Open vSwitch.
    planned("memory controller", "memory-ovs", memory)
        .needs(&[Need::Controllers])
        .kinds(OVS)
        .harmless(&["268435456", "536870912"])
        .harmful(&["134217728", "67108864"])
        .causes(&[HP410]),
    planned("memory controller", "memory-qemu", memory)
        .needs(&[Need::Controllers])
        .kinds(QEMU)
        .harmless(&["33554432", "536870912"])
        .harmful(&["16777216"])
        .causes(&[HP410]),
    // The pages count too: 32 MiB.
    planned("memory controller", "memory-with-pages", memory)
        .needs(&[Need::Controllers, Need::Accounting])
        .kinds(TESTPMD)
        .harmless(&["201326592", "536870912"])
        .harmful(&["67108864", "33554432"])
        .causes(&[HP401, HP410]),
    applied("cpu affinity", "cpus", |scene, cpu| {
        scene.place.add(format!("cpus={cpu}"));
        Ok(())
    })
    .harmless(&["0", "1"]),
    applied("scheduling class", "class", |scene, class| {
        scene.place.add(format!("class={class}"));
        Ok(())
    })
    .harmless(&["batch", "nice"]),
];
