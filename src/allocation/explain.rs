//! Explains what an error from the kernel means and what to check.

use std::io;

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use super::attempts::Refusal;
use super::backing::MapError;
use super::nodes::AllowedNodes;
use super::pool::Reservable;
use hugeprobe_domain::check::{Because, Outcome};
use hugeprobe_domain::size::HugeLen;
use hugeprobe_domain::text::count;
use hugeprobe_linux::errno::named;
use hugeprobe_linux::hugefile::HugeFileError;
use hugeprobe_linux::root::HostRoot;

/// Returns the refusal for a mapping that failed. `reservable` is what could be reserved before and after it, as far as
/// that is known.
pub(super) fn map_refused(
    error: &MapError,
    len: HugeLen,
    how: &str,
    reservable: [Option<Reservable>; 2],
) -> Refusal {
    let (pages, size) = (len.pages(), len.size());
    let expected = format!("{} of {size} {how} reserved", counted(pages));
    let because = |seen: String, remedy: String| Because::new(expected.clone(), seen).remedy(remedy);
    let fail = |summary: String, because: Because| Refusal {
        outcome: Outcome::Fail,
        summary,
        because,
        again: false,
    };
    let error_text = error.to_string();
    let source = match error {
        MapError::File(error) => return fail(error_text.clone(), because(error_text, file_remedy(error))),
        MapError::Map { source, .. } => source,
    };
    if source.raw_os_error() != Some(Errno::ENOMEM as i32) {
        let remedy = match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EINVAL) => {
                format!("this kernel has no pages of {size}: see /sys/kernel/mm/hugepages")
            }
            Some(Errno::EPERM | Errno::EACCES) => {
                "a security module or seccomp forbids it: see the kernel's log".to_owned()
            }
            _ => String::new(),
        };
        return fail(error_text.clone(), because(error_text, remedy));
    }
    let [before, after] = reservable.map(|reservable| {
        reservable.map_or_else(|| "?".to_owned(), |reservable| reservable.pages().to_string())
    });
    let seen = format!("{error_text}; pages that could be reserved: {before} before, {after} after");
    if reservable.iter().all(|reservable| reservable.is_some_and(|reservable| reservable.pages() >= pages)) {
        let summary = format!("reservation refused: ENOMEM, pages available: {after}");
        let refusal = fail(summary, because(seen, reservation_limits(pages, reservable[1])));
        return Refusal { again: true, ..refusal };
    }
    Refusal {
        outcome: Outcome::Unknown,
        summary: "reservation refused: ENOMEM, other processes took the pages".to_owned(),
        because: because(
            seen,
            "other processes hold or reserved the pages: find them (HP105), or state with --need how many pages are \
             needed"
                .to_owned(),
        ),
        again: true,
    }
}

/// Returns the refusal for a touch that failed. `expected` is what the touch should have done, and `free` is the number
/// of free pages.
pub(super) fn touch_refused(error: &io::Error, what: &str, expected: &str, free: Option<u64>) -> Refusal {
    let with_free = free.map(|free| format!(" with {} free", counted(free))).unwrap_or_default();
    let seen =
        format!("MADV_POPULATE_WRITE: {}{with_free}; a write would have ended in SIGBUS", named(error));
    Refusal {
        outcome: Outcome::Fail,
        summary: format!("{what} refused: {}{with_free}", error_name(error)),
        because: Because::new(expected, seen).remedy(touch_remedy(error)),
        again: false,
    }
}

/// Returns the remedy for a touch that failed.
pub(super) fn touch_remedy(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EHWPOISON) => "the page is broken memory: see HP108 and the kernel's log".to_owned(),
        _ => format!(
            "a limit was reached: the hugetlb fault limit of the cgroup (HP401), or no free page on the NUMA nodes \
             that this process may use ({})",
            mems_allowed()
        ),
    }
}

/// Returns the remedy for an mmap that failed with ENOMEM although the pool has pages: all limits that can cause this.
pub(super) fn reservation_limits(pages: u64, reservable: Option<Reservable>) -> String {
    if reservable.is_some_and(|reservable| reservable.free < pages) {
        return "the pool would have to grow (overcommit) and did not: memory is short or fragmented; make the pool \
                itself large enough (HP106)"
            .to_owned();
    }
    let mut places = vec![
        "the hugetlb reservation limit of the cgroup (HP402)".to_owned(),
        "size= of the mount, if there is one (HP303)".to_owned(),
    ];
    if !matches!(getrlimit(Resource::RLIMIT_AS), Ok((RLIM_INFINITY, _))) {
        places.push("RLIMIT_AS, which is set (HP405)".to_owned());
    }
    places.push(format!("free pages on the NUMA nodes that this process may use ({})", mems_allowed()));
    format!("a limit other than the size of the pool was reached; check {}", places.join(", "))
}

/// Returns text such as `1 page` or `2 pages`.
pub(super) fn counted(pages: u64) -> String {
    count(pages, "page")
}

/// Returns the symbolic name of the error, such as `ENOMEM`, or the first word of its text if it has no errno.
pub(super) fn error_name(error: &io::Error) -> String {
    named(error).split(' ').next().unwrap_or_default().to_owned()
}

/// Returns the remedy for a file that could not be opened or created.
pub(super) fn file_remedy(error: &HugeFileError) -> String {
    let HugeFileError::Refused { call, .. } = error else {
        return "name a directory of a hugetlbfs of this page size: see HP301".to_owned();
    };
    match (*call, error.errno()) {
        (_, Some(Errno::EACCES)) => "this uid and gid may not create files there: see HP302",
        (_, Some(Errno::EROFS)) => "the mount is read-only: see HP302",
        (_, Some(Errno::ENOSPC)) => "the mount has no free inode: see HP304",
        (_, Some(Errno::EMFILE | Errno::ENFILE)) => "no free file descriptor: see HP404",
        ("memfd_create", Some(Errno::EPERM | Errno::ENOSYS)) => "memfd_create is forbidden: see HP407",
        ("memfd_create", Some(Errno::EINVAL | Errno::ENODEV)) => {
            "this kernel has no memfd of this page size: see /sys/kernel/mm/hugepages"
        }
        ("open", _) => "name a directory of a hugetlbfs of this page size: see HP301",
        _ => "",
    }
    .to_owned()
}

/// Returns the NUMA nodes that this process may use, which are shown as `Mems_allowed_list: 0-1`.
fn mems_allowed() -> AllowedNodes {
    AllowedNodes::read(&HostRoot::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hugeprobe_domain::size::PageSize;

    fn refusal(errno: Errno, reservable: [Option<u64>; 2]) -> Refusal {
        let reservable = reservable.map(|pages| pages.map(|free| Reservable { free, overcommit: 0 }));
        let len = HugeLen::new(PageSize::from_bytes(2 << 20).unwrap(), 2).unwrap();
        map_refused(&MapError::mmap(errno.into()), len, "MAP_HUGETLB", reservable)
    }

    #[test]
    fn enomem_is_a_limit_only_if_there_was_room_before_and_after() {
        for (reservable, outcome, part) in [
            ([Some(2), Some(9)], Outcome::Fail, "HP402"),
            ([Some(2), Some(1)], Outcome::Unknown, "HP105"),
            ([Some(0), Some(2)], Outcome::Unknown, "HP105"),
            ([None, Some(2)], Outcome::Unknown, "HP105"),
            ([None, None], Outcome::Unknown, "HP105"),
        ] {
            let refusal = refusal(Errno::ENOMEM, reservable);
            assert_eq!(refusal.outcome, outcome, "{reservable:?}");
            assert!(refusal.again && refusal.because.remedy.contains(part), "{reservable:?}: {refusal:?}");
            assert!(refusal.because.seen.contains("ENOMEM"), "{refusal:?}");
        }
    }

    #[test]
    fn a_pool_that_cannot_grow_is_told_from_a_limit() {
        let reservable = |free, overcommit| Some(Reservable { free, overcommit });
        assert!(reservation_limits(2, reservable(2, 0)).contains("HP402"));
        assert!(reservation_limits(2, reservable(1, 9)).contains("HP106"));
    }

    #[test]
    fn other_answers_are_final() {
        for errno in [Errno::EINVAL, Errno::EPERM, Errno::ENODEV] {
            let refusal = refusal(errno, [Some(9), Some(9)]);
            assert!(refusal.outcome == Outcome::Fail && !refusal.again, "{errno}");
            assert!(refusal.summary.contains(&format!("{errno:?}")), "{}", refusal.summary);
        }
    }

    #[test]
    fn a_file_that_was_not_to_be_had_points_to_the_check_that_knows() {
        let refused = |call, errno: Errno| HugeFileError::Refused {
            call,
            what: "there".to_owned(),
            source: errno.into(),
        };
        for (error, check) in [
            (HugeFileError::NotHugetlbfs("there".to_owned()), "HP301"),
            (refused("open", Errno::ENOENT), "HP301"),
            (refused("open(O_TMPFILE)", Errno::EACCES), "HP302"),
            (refused("open(O_TMPFILE)", Errno::EROFS), "HP302"),
            (refused("open(O_TMPFILE)", Errno::ENOSPC), "HP304"),
            (refused("memfd_create", Errno::EMFILE), "HP404"),
            (refused("memfd_create", Errno::ENOSYS), "HP407"),
        ] {
            assert!(file_remedy(&error).contains(check), "{error}: {}", file_remedy(&error));
        }
    }
}
