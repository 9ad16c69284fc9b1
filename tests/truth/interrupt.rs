//! SIGINT, SIGTERM and SIGHUP end a run after the current row or place, because only its end undoes the fault: pages, mounts,
//! cgroups, SysV segments and sysctls.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Starts to wait for the signals. The programs that this process starts have the default handlers: they would inherit blocked
/// signals, but not handlers.
pub(crate) fn watch() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let [mut interrupt, mut terminate, mut hangup] =
                [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
                    .map(|kind| signal(kind).unwrap());
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            eprintln!("the run ends after this place");
            ASKED.store(true, Ordering::Relaxed);
            // The runtime stays, so that a second signal does not end the process either.
            std::future::pending::<()>().await;
        });
    });
}

/// Returns whether the run should end.
pub(crate) fn is_asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
