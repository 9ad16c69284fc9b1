//! Cases in which `--reserve` is refused, or fails before it has grown a pool.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::processes::Run;
use super::{Outcome, at_once, now};

pub(super) fn without_root() -> Outcome {
    let mut run =
        Run::of(Command::new("/proc/self/exe").args(["orchestrator", "2Mi=1"]).uid(65534).gid(65534));
    assert!(run.says("refused")?.contains("usage=true --reserve requires root"));
    run.child.wait()?;
    Ok(())
}

pub(super) fn read_only() -> Outcome {
    let before = now();
    for (prepare, usage, part) in [
        ("mount --bind /sys /sys && mount -o remount,bind,ro /sys", true, "Read-only file system"),
        (
            "mount --bind /run /run && mount -o remount,bind,ro /run",
            false,
            "cannot make /run/hugeprobe: Read-only file system",
        ),
        // No file may grow, as on a full file system: the journal can be created but not written.
        ("ulimit -f 0", false, "cannot write the journal: File too large"),
    ] {
        refused(&["-m"], prepare, usage, part)?;
    }
    at_once(&before)
}

/// Tests namespaces of a container. kill -9 of process 1 of a PID namespace kills the guardian as well, and a journal
/// in another /run is never replayed.
pub(super) fn in_a_container() -> Outcome {
    let before = now();
    refused(&["-m"], "mount -t tmpfs none /run", true, "/run is not the host's")?;
    refused(&["-p", "-f", "-m", "--mount-proc"], ":", true, "in a PID namespace")?;
    refused(&["-p", "-f", "-m", "--mount-proc"], "mount -t tmpfs none /run", true, "in a PID namespace")?;
    at_once(&before)
}

/// Starts an orchestrator in new namespaces after the shell command `prepare`. Asserts that it is refused with a
/// sentence that contains `part`.
fn refused(namespaces: &[&str], prepare: &str, usage: bool, part: &str) -> Outcome {
    let program = std::fs::read_link("/proc/self/exe")?;
    let script = format!("{prepare} && exec {} orchestrator 2Mi=1", program.display());
    let mut run = Run::of(Command::new("unshare").args(namespaces).args(["sh", "-c", &script]));
    let said = run.says("refused")?;
    assert!(said.contains(part) && said.contains(&format!("usage={usage}")), "{said}");
    run.child.wait()?;
    Ok(())
}
