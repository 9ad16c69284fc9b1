//! SIGINT, SIGTERM and SIGHUP end a run after the current row or place, because only its end undoes the fault: pages, mounts,
//! cgroups, SysV segments and sysctls.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigSet, Signal};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Starts to wait for the signals. No other thread may run yet: those that start later block the signals as well. The standard
/// library unblocks them in the processes that it starts.
pub(crate) fn watch() {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    signals.thread_block().unwrap();
    std::thread::spawn(move || {
        let signal = signals.wait().unwrap();
        eprintln!("{signal}: the run ends after this place");
        ASKED.store(true, Ordering::Relaxed);
    });
}

/// Returns whether the run should end.
pub(crate) fn is_asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
