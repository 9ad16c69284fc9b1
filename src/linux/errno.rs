//! Errors with the kernel's symbolic name: users search for `ENOMEM`.

use std::io;

use nix::errno::Errno;
use nix::libc::c_long;

/// Returns text such as `ENOMEM (Cannot allocate memory)`; the error's own text if it does not come from the kernel.
#[must_use]
pub fn named(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(number) => {
            let words = text.split(" (os error").next().unwrap_or_default();
            format!("{:?} ({words})", Errno::from_raw(number))
        }
        None => text,
    }
}

/// Returns whether the error is `errno`.
#[must_use]
pub fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// Returns whether the kernel does not support a request, or does not allow it for this process: EINVAL, ENOSYS or
/// EPERM.
#[must_use]
pub fn is_not_offered(error: &io::Error) -> bool {
    [Errno::EINVAL, Errno::ENOSYS, Errno::EPERM].iter().any(|errno| is(error, *errno))
}

/// Checks the return value of a system call that returns -1 on failure.
pub(super) fn checked(answer: c_long) -> io::Result<()> {
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_errors_keep_their_name() {
        assert_eq!(named(&Errno::ENOMEM.into()), "ENOMEM (Cannot allocate memory)");
        assert!(is(&Errno::ENOMEM.into(), Errno::ENOMEM));
        assert_eq!(named(&io::Error::other("no page")), "no page");
        assert!(!is(&io::Error::other("no page"), Errno::ENOMEM));
    }

    proptest::proptest! {
        #[test]
        fn no_number_panics(number: i32) {
            let _ = named(&io::Error::from_raw_os_error(number));
        }
    }
}
