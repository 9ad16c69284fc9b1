//! The memory policy of the thread: on which NUMA node its pages are taken. set_mempolicy(2), get_mempolicy(2).

use std::io;
use std::ptr;

use nix::errno::Errno;
use nix::libc::{self, c_int, c_ulong, c_void};

use crate::linux::errno::checked;

/// The highest NUMA node that a kernel can have, and one more: `CONFIG_NODES_SHIFT` is 10 at most.
const NODES: u32 = 1024;
const BITS: u32 = c_ulong::BITS;
/// How many bits a mask of nodes is declared to have: the kernel takes one off (`get_nodes()` in mm/mempolicy.c).
pub(super) const MASK_BITS: c_ulong = NODES as c_ulong + 1;

/// A mask of one node. EINVAL for one that no kernel has.
pub(super) fn mask_of(node: u32) -> io::Result<[c_ulong; NODES as usize / BITS as usize]> {
    let mut mask = [0; _];
    let word: &mut c_ulong = mask.get_mut((node / BITS) as usize).ok_or(Errno::EINVAL)?;
    *word = 1 << (node % BITS);
    Ok(mask)
}

/// Binds this thread's memory policy to a NUMA node, strictly: set_mempolicy(2) with MPOL_BIND.
///
/// # Errors
///
/// EPERM or ENOSYS where it is forbidden, EINVAL for a node that is not there, or not for this process.
pub fn bind_memory_policy(node: u32) -> io::Result<()> {
    let mask = mask_of(node)?;
    // SAFETY: the mask holds as many bits as are declared, less the one that the kernel leaves out.
    checked(unsafe { libc::syscall(libc::SYS_set_mempolicy, libc::MPOL_BIND, mask.as_ptr(), MASK_BITS) })
}

/// Sets this thread's memory policy to the default: set_mempolicy(2).
///
/// # Errors
///
/// EPERM or ENOSYS where it is forbidden.
pub fn reset_memory_policy() -> io::Result<()> {
    // SAFETY: the default policy takes no mask.
    checked(unsafe {
        libc::syscall(libc::SYS_set_mempolicy, libc::MPOL_DEFAULT, ptr::null::<c_ulong>(), 0 as c_ulong)
    })
}

/// Asks for this thread's memory policy: get_mempolicy(2). The mode, `MPOL_BIND` and so on.
///
/// # Errors
///
/// EPERM or ENOSYS where it is forbidden.
pub fn memory_policy() -> io::Result<i32> {
    let mut mode: c_int = 0;
    let (no_mask, no_address) = (ptr::null_mut::<c_ulong>(), ptr::null_mut::<c_void>());
    // SAFETY: `mode` is the int that the call writes; neither mask nor address is given.
    let answer = unsafe {
        libc::syscall(libc::SYS_get_mempolicy, &raw mut mode, no_mask, 0 as c_ulong, no_address, 0 as c_ulong)
    };
    checked(answer).map(|()| mode)
}
