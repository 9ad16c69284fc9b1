//! The exit codes, on which scripts rely.

use std::process::ExitCode;

use hugeprobe_domain::check::Verdict;

/// An exit code of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: pass, with or without warnings.
    Pass,
    /// 1: fail, or there was nothing to check.
    Fail,
    /// 2: usage error.
    Usage,
    /// 3: inconclusive.
    Unknown,
}

impl Exit {
    /// Returns the exit code of a verdict. `strict` is `--fail-on warn`.
    #[must_use]
    pub const fn of(verdict: Verdict, strict: bool) -> Self {
        match verdict {
            Verdict::Warn if strict => Self::Fail,
            Verdict::Pass | Verdict::Warn => Self::Pass,
            Verdict::Fail | Verdict::None => Self::Fail,
            Verdict::Unknown => Self::Unknown,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Pass => 0,
            Exit::Fail => 1,
            Exit::Usage => 2,
            Exit::Unknown => 3,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_never_zero_and_warn_only_when_not_strict() {
        for (verdict, relaxed, strict) in [
            (Verdict::None, Exit::Fail, Exit::Fail),
            (Verdict::Pass, Exit::Pass, Exit::Pass),
            (Verdict::Warn, Exit::Pass, Exit::Fail),
            (Verdict::Unknown, Exit::Unknown, Exit::Unknown),
            (Verdict::Fail, Exit::Fail, Exit::Fail),
        ] {
            assert_eq!(Exit::of(verdict, false), relaxed, "{verdict}");
            assert_eq!(Exit::of(verdict, true), strict, "{verdict}");
        }
    }
}
