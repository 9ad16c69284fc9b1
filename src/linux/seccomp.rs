//! Asks whether a seccomp filter allows a system call: calls it with arguments that the kernel refuses.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::libc::{self, c_long};

/// A system call, and arguments with which it does nothing but return an error.
///
/// File descriptors are -1, addresses are null, and flags and sizes are values that the kernel refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemCall {
    /// The name, as in `man 2`.
    pub name: &'static str,
    number: c_long,
    arguments: [c_long; 4],
}

macro_rules! calls {
    ($($(#[$condition:meta])* $name:ident = $text:literal, $number:ident, $arguments:expr;)*) => {
        $(
            $(#[$condition])*
            #[doc = concat!($text, "(2).")]
            pub const $name: SystemCall = SystemCall { name: $text, number: libc::$number, arguments: $arguments };
        )*
        /// Every call, for the test.
        #[cfg(test)]
        const ALL: &[SystemCall] = &[$($(#[$condition])* $name,)*];
    };
}

calls! {
    ACCEPT = "accept", SYS_accept, [-1, 0, 0, 0];
    BIND = "bind", SYS_bind, [-1, 0, 0, 0];
    CONNECT = "connect", SYS_connect, [-1, 0, 0, 0];
    #[cfg(target_arch = "x86_64")]
    EPOLL_CREATE = "epoll_create", SYS_epoll_create, [-1, 0, 0, 0];
    #[cfg(not(target_arch = "x86_64"))]
    EPOLL_CREATE = "epoll_create1", SYS_epoll_create1, [-1, 0, 0, 0];
    EPOLL_CTL = "epoll_ctl", SYS_epoll_ctl, [-1, -1, -1, 0];
    #[cfg(target_arch = "x86_64")]
    EPOLL_WAIT = "epoll_wait", SYS_epoll_wait, [-1, 0, 0, 0];
    #[cfg(not(target_arch = "x86_64"))]
    EPOLL_WAIT = "epoll_pwait", SYS_epoll_pwait, [-1, 0, 0, 0];
    EVENTFD2 = "eventfd2", SYS_eventfd2, [0, -1, 0, 0];
    FALLOCATE = "fallocate", SYS_fallocate, [-1, 0, 0, 0];
    FCNTL = "fcntl", SYS_fcntl, [-1, -1, 0, 0];
    FLOCK = "flock", SYS_flock, [-1, -1, 0, 0];
    FTRUNCATE = "ftruncate", SYS_ftruncate, [-1, 0, 0, 0];
    GETDENTS64 = "getdents64", SYS_getdents64, [-1, 0, 0, 0];
    LISTEN = "listen", SYS_listen, [-1, 0, 0, 0];
    #[cfg(target_arch = "x86_64")]
    MKDIR = "mkdir", SYS_mkdir, [0, 0, 0, 0];
    #[cfg(not(target_arch = "x86_64"))]
    MKDIR = "mkdirat", SYS_mkdirat, [-1, 0, 0, 0];
    PIPE2 = "pipe2", SYS_pipe2, [0, -1, 0, 0];
    #[cfg(target_arch = "x86_64")]
    POLL = "poll", SYS_poll, [0, 0, 0, 0];
    #[cfg(not(target_arch = "x86_64"))]
    POLL = "ppoll", SYS_ppoll, [0, -1, 0, 0];
    #[cfg(target_arch = "x86_64")]
    READLINK = "readlink", SYS_readlink, [0, 0, -1, 0];
    #[cfg(not(target_arch = "x86_64"))]
    READLINK = "readlinkat", SYS_readlinkat, [-1, 0, 0, -1];
    RECVFROM = "recvfrom", SYS_recvfrom, [-1, 0, 0, 0];
    RECVMSG = "recvmsg", SYS_recvmsg, [-1, 0, 0, 0];
    SCHED_SETAFFINITY = "sched_setaffinity", SYS_sched_setaffinity, [0, 0, 0, 0];
    SENDMSG = "sendmsg", SYS_sendmsg, [-1, 0, 0, 0];
    SOCKET = "socket", SYS_socket, [-1, -1, -1, 0];
    CLOCK_NANOSLEEP = "clock_nanosleep", SYS_clock_nanosleep, [-1, 0, 0, 0];
    FCHDIR = "fchdir", SYS_fchdir, [-1, 0, 0, 0];
    FSTATFS = "fstatfs", SYS_fstatfs, [-1, 0, 0, 0];
    GETPEERNAME = "getpeername", SYS_getpeername, [-1, 0, 0, 0];
    GETSOCKNAME = "getsockname", SYS_getsockname, [-1, 0, 0, 0];
    IO_URING_SETUP = "io_uring_setup", SYS_io_uring_setup, [0, 0, 0, 0];
    #[cfg(target_arch = "x86_64")]
    IOPL = "iopl", SYS_iopl, [4, 0, 0, 0];
    LSEEK = "lseek", SYS_lseek, [-1, 0, 0, 0];
    MLOCKALL = "mlockall", SYS_mlockall, [-1, 0, 0, 0];
    PPOLL = "ppoll", SYS_ppoll, [0, -1, 0, 0];
    SECCOMP = "seccomp", SYS_seccomp, [-1, 0, 0, 0];
    SETSOCKOPT = "setsockopt", SYS_setsockopt, [-1, 0, 0, 0];
    SIGNALFD4 = "signalfd4", SYS_signalfd4, [-1, 0, 0, -1];
    SOCKETPAIR = "socketpair", SYS_socketpair, [-1, -1, -1, 0];
    STATFS = "statfs", SYS_statfs, [0, 0, 0, 0];
    SYSINFO = "sysinfo", SYS_sysinfo, [0, 0, 0, 0];
    TIMERFD_CREATE = "timerfd_create", SYS_timerfd_create, [-1, -1, 0, 0];
}

impl SystemCall {
    /// Makes the call. Returns the error if it is one of seccomp or of a security module, and not of the kernel itself.
    ///
    /// A profile may also end the process with SIGSYS.
    #[must_use]
    pub fn refusal(self) -> Option<Errno> {
        let [first, second, third, fourth] = self.arguments;
        // SAFETY: by their definition above, the arguments name no memory and no object: the call returns an error or, as
        // poll(2) without descriptors and a query without a buffer, has no effect.
        let answer = unsafe { libc::syscall(self.number, first, second, third, fourth, 0, 0) };
        let error = Errno::result(answer).err()?;
        matches!(error, Errno::EPERM | Errno::ENOSYS | Errno::EACCES).then_some(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_filter_the_kernel_itself_answers_every_call() {
        for call in ALL {
            // A kernel without CONFIG_X86_IOPL_IOPERM has no iopl.
            let expected = if call.name == "iopl" { [None, Some(Errno::ENOSYS)] } else { [None, None] };
            assert!(expected.contains(&call.refusal()), "{}", call.name);
        }
    }
}
