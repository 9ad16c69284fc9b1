//! Reports the privileges that this process lacks to see all processes of the machine.

use super::owners::Owners;
use crate::root::HostRoot;
use hugeprobe_domain::inventory::Privileges;

/// CAP_SYS_PTRACE in `include/uapi/linux/capability.h`.
const CAP_SYS_PTRACE: u32 = 19;

/// Notes each privilege that is missing.
pub(super) fn note_missing(root: &HostRoot, privileges: &Privileges, owners: &mut Owners) {
    if !root.is_live() {
        owners.not_seen("a captured tree has no descriptors".to_owned());
        return;
    }
    match privileges.host_pids.get() {
        Some(true) => {}
        Some(false) => {
            owners.not_seen(
                "processes outside this PID namespace are not visible (set hostPID in a pod)".to_owned(),
            );
        }
        None => owners.not_seen("it is not known whether this is the machine's PID namespace".to_owned()),
    }
    match privileges.capabilities.get() {
        Some(capabilities) if capabilities & (1 << CAP_SYS_PTRACE) != 0 => {}
        Some(_) => owners.not_seen("CAP_SYS_PTRACE is missing".to_owned()),
        None => owners.not_seen("it is not known whether this process has CAP_SYS_PTRACE".to_owned()),
    }
    // In another user namespace, capabilities do not apply to the machine's processes.
    if privileges.host_users.get() == Some(false) {
        owners.not_seen("this is not the machine's user namespace".to_owned());
    }
}
