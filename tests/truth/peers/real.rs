//! The real program as the healthy side.

use std::thread::sleep;
use std::time::Duration;

use super::{Faulty, Strike};
use crate::process::{Process, Waited};
use crate::scene::Scene;
use crate::workload::testpmd::{self, ARRIVAL, FRAMES, forwards, pages, received, sent};
use crate::workload::{Outcome, START, fails, judge};

/// How long to wait after something was done to a side. By then the frames in flight have been counted; testpmd prints
/// its counters once a second.
const AFTERMATH: Duration = Duration::from_millis(2500);

/// What testpmd writes when its peer is faulty, the most specific texts first.
const TELLS: &[&str] = &[
    "killed by",
    "connect error",
    "NACK",
    "Too many memory regions",
    "expect",
    "recvmsg failed",
    "Failed to recv",
    "invalid",
    "vhost peer closed",
    "Failed to",
    "failed",
    "ERROR",
];

/// Runs testpmd's net_vhost, to which `frontend` connects.
pub(super) fn backend(
    scene: &Scene,
    frontend: fn(&Scene) -> Faulty,
    strike: Option<Strike>,
    patience: Duration,
) -> Outcome {
    let (mut backend, waited) = testpmd::backend(scene);
    assert_eq!(waited, Waited::Printed, "{}", backend.words());
    let mut frontend = frontend(scene);
    if let Faulty::Process(frontend) = &mut frontend {
        frontend.wait_for(forwards, if strike.is_some() { START } else { patience });
    }
    let before = struck(scene, &mut backend, received, &mut frontend, strike);
    let waited = backend.wait_for(|said| received(said) >= before + FRAMES, patience);
    let other = match &mut frontend {
        Faulty::Process(process) => Some(process),
        Faulty::Thing(_) => None,
    };
    match (waited, other) {
        (Waited::Printed, Some(frontend)) => {
            judge(scene, &mut backend, frontend, [pages(scene.size) + 1, pages(scene.size)], TELLS)
        }
        (_, other) => fails(scene, &mut backend, other, TELLS, waited),
    }
}

/// Runs testpmd's net_virtio_user, which connects to `backend`.
pub(super) fn frontend(
    scene: &Scene,
    backend: fn(&Scene) -> Faulty,
    strike: Option<Strike>,
    patience: Duration,
) -> Outcome {
    let mut backend = backend(scene);
    let mut frontend = testpmd::frontend(scene);
    let waited = frontend.wait_for(forwards, if strike.is_some() { START } else { patience });
    let waited = if waited == Waited::Printed {
        let before = struck(scene, &mut frontend, sent, &mut backend, strike);
        frontend.wait_for(|said| sent(said) >= before + FRAMES, patience)
    } else {
        waited
    };
    let other = match &mut backend {
        Faulty::Process(process) => Some(process),
        Faulty::Thing(_) => None,
    };
    match (waited, other) {
        (Waited::Printed, Some(backend)) => {
            judge(scene, backend, &mut frontend, [pages(scene.size) + 1, pages(scene.size)], TELLS)
        }
        (_, other) => fails(scene, &mut frontend, other, TELLS, waited),
    }
}

/// Waits until frames arrive, applies `strike` to the faulty side, and returns the number of frames when the effect has
/// shown.
fn struck(
    scene: &Scene,
    healthy: &mut Process,
    count: fn(&str) -> u64,
    faulty: &mut Faulty,
    strike: Option<Strike>,
) -> u64 {
    let Some(strike) = strike else { return 0 };
    let waited = healthy.wait_for(|said| count(said) >= FRAMES, ARRIVAL);
    assert_eq!(waited, Waited::Printed, "no frame before anything was done: {}", healthy.words());
    strike(scene, faulty);
    sleep(AFTERMATH);
    count(&healthy.words())
}
