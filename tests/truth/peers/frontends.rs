//! Faulty frontends, which connect to the backends of hugeprobe and of testpmd.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{Faulty, Row, kill, nothing, ours, pages, real, room, truncate};
use crate::case::Cause;
use crate::scene::Scene;
use crate::workload::testpmd::{self, backend, sent};
use crate::workload::{Kind, Outcome, START, qemu};

const TESTPMD: &str = "testpmd's frontend, to testpmd and to `backend`";
const QEMU: &str = "QEMU, to testpmd and to `backend`";
const SCRIPT: &str = "a script, to testpmd and to `backend`";

/// How long to wait for frames that are not going to arrive.
const VAIN: Duration = Duration::from_secs(4);
/// A number of frames larger than can be sent before something happens.
const ENDLESS: u64 = u64::MAX;

pub(super) const ROWS: &[Row] = &[
    Row {
        fault: "peer: none",
        workload: TESTPMD,
        kind: Kind::TestpmdMemfd,
        cause: Cause::Words(""),
        state: pages,
        ask: |scene| ours::backend(scene, [1000, 30], healthy, nothing),
        work: |scene| real::backend(scene, healthy, None, START),
    },
    Row {
        fault: "peer: none",
        workload: QEMU,
        kind: Kind::QemuMemfd,
        cause: Cause::Words(""),
        state: pages,
        ask: |scene| ours::backend(scene, [1, 30], |scene| guest(scene, HUGE), nothing),
        work: |scene| real_guest(scene, HUGE, START),
    },
    Row {
        fault: "peer: the frontend does not share its memory (share=off)",
        workload: QEMU,
        kind: Kind::QemuMemfd,
        cause: Cause::Words("0 of 1 frames"),
        state: pages,
        ask: |scene| ours::backend(scene, [1, 6], |scene| guest(scene, NOT_SHARED), nothing),
        work: |scene| real_guest(scene, NOT_SHARED, VAIN),
    },
    Row {
        fault: "peer: the frontend's memory is of ordinary pages",
        workload: QEMU,
        kind: Kind::QemuMemfd,
        cause: Cause::Words("its pages are of 4096 bytes"),
        state: pages,
        ask: |scene| ours::backend(scene, [1, 20], |scene| guest(scene, ORDINARY), nothing),
        work: |scene| real_guest(scene, ORDINARY, START),
    },
    Row {
        fault: "peer: the frontend has more regions than a table has room for",
        workload: TESTPMD,
        kind: Kind::TestpmdMemfd,
        cause: Cause::Words("of 1000 frames"),
        state: |scene| room(scene, 32),
        ask: |scene| ours::backend(scene, [1000, 6], many_files, nothing),
        work: |scene| real::backend(scene, many_files, None, VAIN),
    },
    Row {
        fault: "peer: the frontend's memory is of ordinary pages",
        workload: TESTPMD,
        kind: Kind::TestpmdMemfd,
        cause: Cause::Words("its pages are of 4096 bytes"),
        state: pages,
        ask: |scene| ours::backend(scene, [1000, 10], no_huge, nothing),
        work: |scene| real::backend(scene, no_huge, None, START),
    },
    Row {
        fault: "peer: the frontend is killed in mid-transfer",
        workload: TESTPMD,
        kind: Kind::TestpmdMemfd,
        cause: Cause::Words("hung up while its rings ran"),
        state: pages,
        ask: |scene| ours::backend(scene, [ENDLESS, 30], healthy, when_sending_kill),
        work: |scene| real::backend(scene, healthy, Some(kill), VAIN),
    },
    Row {
        fault: "peer: the frontend's file is cut in mid-transfer",
        workload: TESTPMD,
        kind: Kind::TestpmdDir,
        cause: Cause::Words("memory"),
        state: pages,
        ask: |scene| ours::backend(scene, [ENDLESS, 30], healthy, when_sending_truncate),
        work: |scene| real::backend(scene, healthy, Some(truncate), VAIN),
    },
    Row {
        fault: "peer: the frontend connects and says nothing",
        workload: SCRIPT,
        kind: Kind::TestpmdMemfd,
        cause: Cause::Words("0 of 1000 frames"),
        state: pages,
        ask: |scene| ours::backend(scene, [1000, 5], silent, nothing),
        work: |scene| real::backend(scene, silent, None, VAIN),
    },
    Row {
        fault: "peer: the frontend speaks something else",
        workload: SCRIPT,
        kind: Kind::TestpmdMemfd,
        cause: Cause::Words("version"),
        state: pages,
        ask: |scene| ours::backend(scene, [1000, 5], other_tongue, nothing),
        work: |scene| real::backend(scene, other_tongue, None, VAIN),
    },
];

// === testpmd ===

fn healthy(scene: &Scene) -> Faulty {
    Faulty::Process(testpmd::frontend(scene))
}

fn when_sending_kill(scene: &Scene, frontend: &mut Faulty) {
    when_sending(frontend);
    kill(scene, frontend);
}

fn when_sending_truncate(scene: &Scene, frontend: &mut Faulty) {
    when_sending(frontend);
    truncate(scene, frontend);
}

fn when_sending(frontend: &mut Faulty) {
    let Faulty::Process(frontend) = frontend else { return };
    frontend.wait_for(|said| sent(said) > 1000, START);
}

/// A testpmd with 32 pages, each in a separate file.
fn many_files(scene: &Scene) -> Faulty {
    with_memory(scene, &["--in-memory", "-m", "64"])
}

fn no_huge(scene: &Scene) -> Faulty {
    with_memory(scene, &["--no-huge", "-m", "64"])
}

fn with_memory(scene: &Scene, memory: &[&str]) -> Faulty {
    let device = format!("net_virtio_user0,path={}", scene.socket());
    let memory: Vec<_> = memory.iter().map(|&word| word.to_owned()).collect();
    let arguments = ["--forward-mode=txonly", "--auto-start"];
    Faulty::Process(testpmd::start(scene, &scene.frontend, "f", &device, &memory, &arguments))
}

// === QEMU ===

const HUGE: &str = "memory-backend-memfd,hugetlb=on,hugetlbsize=2M,prealloc=on";
const NOT_SHARED: &str = "memory-backend-memfd,hugetlb=on,hugetlbsize=2M,prealloc=on,share=off";
const ORDINARY: &str = "memory-backend-memfd,share=on";

fn guest(scene: &Scene, memory: &str) -> Faulty {
    Faulty::Process(qemu::start(scene, memory))
}

fn real_guest(scene: &Scene, memory: &str, patience: Duration) -> Outcome {
    let (mut peer, _) = backend(scene);
    qemu::meet(scene, &mut peer, memory, [8 + 1, 8], patience)
}

// === scripts ===

fn silent(scene: &Scene) -> Faulty {
    Faulty::Thing(Box::new(UnixStream::connect(scene.socket()).unwrap()))
}

fn other_tongue(scene: &Scene) -> Faulty {
    let mut stream = UnixStream::connect(scene.socket()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    Faulty::Thing(Box::new(stream))
}
