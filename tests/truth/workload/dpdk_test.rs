//! `dpdk-test`, DPDK's own tests, of which those of memory and rings run in the smallest memory that testpmd takes.

use super::testpmd::{TELLS, memory};
use super::{Outcome, START, fails, prefix, slowness};
use crate::process::{Process, Waited};
use crate::scene::Scene;

/// The tests, each in its own process. Others, such as `mempool_autotest`, take more memory.
const TESTS: &[&str] = &["memory_autotest", "malloc_autotest", "mbuf_autotest", "ring_autotest"];

pub(super) fn run(scene: &Scene) -> Outcome {
    for test in TESTS {
        let mut command = scene.place.and(&scene.frontend.place).command("dpdk-test");
        command
            .args(["-l", "0-1", "--no-pci"])
            .args(memory(scene))
            .args(["--file-prefix", &prefix(scene, "t")])
            .env("DPDK_TEST", test)
            .env("XDG_RUNTIME_DIR", &scene.run);
        let mut process = Process::start(&mut command);
        let waited = process.wait_for(|said| said.contains("Test OK"), START * slowness());
        if waited != Waited::Printed {
            return fails(scene, &mut process, None, TELLS, waited);
        }
        // Its pages are free again when it has ended.
        process.wait_for(|_| false, START * slowness());
    }
    Outcome { works: true, words: format!("{} pass", TESTS.join(", ")), log: String::new() }
}
