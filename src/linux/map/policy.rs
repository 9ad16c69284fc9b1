//! The memory policy of the thread, which says on which NUMA node pages are allocated: set_mempolicy(2),
//! get_mempolicy(2).

use std::io;
use std::ptr;

use nix::errno::Errno;
use nix::libc::{self, c_int, c_ulong, c_void};

use crate::errno::checked;

/// The maximum number of NUMA nodes that Linux supports: `CONFIG_NODES_SHIFT` is at most 10.
const NODES: u32 = 1024;
const BITS: u32 = c_ulong::BITS;
/// The number of bits to declare for a mask of nodes: one more than it has, because the kernel subtracts one
/// (`get_nodes()` in mm/mempolicy.c).
pub(super) const MASK_BITS: c_ulong = NODES as c_ulong + 1;

/// Returns a mask with one node; EINVAL if no kernel supports that node.
pub(super) fn mask_of(node: u32) -> io::Result<[c_ulong; NODES as usize / BITS as usize]> {
    let mut mask = [0; _];
    let word: &mut c_ulong = mask.get_mut((node / BITS) as usize).ok_or(Errno::EINVAL)?;
    *word = 1 << (node % BITS);
    Ok(mask)
}

/// Binds this thread's memory policy strictly to a NUMA node: set_mempolicy(2) with MPOL_BIND.
///
/// # Errors
///
/// EPERM or ENOSYS where the call is forbidden, EINVAL for a node that does not exist or that this process may not use.
pub fn bind_memory_policy(node: u32) -> io::Result<()> {
    let mask = mask_of(node)?;
    // SAFETY: the kernel reads one bit less than declared, which is what the mask holds.
    checked(unsafe { libc::syscall(libc::SYS_set_mempolicy, libc::MPOL_BIND, mask.as_ptr(), MASK_BITS) })
}

/// Resets this thread's memory policy to the default: set_mempolicy(2).
///
/// # Errors
///
/// EPERM or ENOSYS where the call is forbidden.
pub fn reset_memory_policy() -> io::Result<()> {
    // SAFETY: the default policy takes no mask.
    checked(unsafe {
        libc::syscall(libc::SYS_set_mempolicy, libc::MPOL_DEFAULT, ptr::null::<c_ulong>(), 0 as c_ulong)
    })
}

/// Returns the mode of this thread's memory policy, such as `MPOL_BIND`: get_mempolicy(2).
///
/// # Errors
///
/// EPERM or ENOSYS where the call is forbidden.
pub fn memory_policy() -> io::Result<i32> {
    let mut mode: c_int = 0;
    let (no_mask, no_address) = (ptr::null_mut::<c_ulong>(), ptr::null_mut::<c_void>());
    // SAFETY: the call writes to `mode`, which is an int. It gets neither a mask nor an address.
    let answer = unsafe {
        libc::syscall(libc::SYS_get_mempolicy, &raw mut mode, no_mask, 0 as c_ulong, no_address, 0 as c_ulong)
    };
    checked(answer).map(|()| mode)
}
