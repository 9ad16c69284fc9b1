//! Memory mappings, and the memory policy under which they get their pages.
#![allow(unsafe_code)]

use std::io;

use nix::errno::Errno;
use nix::libc::{self, c_ulong};

/// The most NUMA nodes that Linux builds for (`CONFIG_NODES_SHIFT` is at most 10).
const NODES: u32 = 1024;
const BITS: u32 = c_ulong::BITS;

// === the memory policy of the thread ===

/// Binds this thread's memory policy to a NUMA node, strictly: set_mempolicy(2) with MPOL_BIND.
///
/// # Errors
///
/// EPERM or ENOSYS where it is forbidden, EINVAL for a node that is not there, or not for this process.
pub fn bind_memory_policy(node: u32) -> io::Result<()> {
    let mut mask: [c_ulong; NODES as usize / BITS as usize] = [0; _];
    let word = mask.get_mut((node / BITS) as usize).ok_or(Errno::EINVAL)?;
    *word = 1 << (node % BITS);
    // The kernel takes one bit off the number that it is given (`get_nodes()` in mm/mempolicy.c).
    let bits = c_ulong::from(NODES) + 1;
    // SAFETY: the mask holds as many bits as are declared, less the one that the kernel leaves out.
    let answer = unsafe { libc::syscall(libc::SYS_set_mempolicy, libc::MPOL_BIND, mask.as_ptr(), bits) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
