//! Finds SysV segments with huge pages that no process is attached to, from `/proc/sysvipc/shm`.
//!
//! The table does not show which segments have huge pages. Attaching a segment to find out could reserve pages
//! (SHM_NORESERVE) or remove the segment (`kernel.shm_rmid_forced`). A segment is therefore reported only if it
//! explains pages in use that nothing else accounts for. If some processes were not seen, it is reported only if it
//! cannot have ordinary pages. A segment that was never touched holds a reservation but no page, and is not found.

use crate::root::HostRoot;
use hugeprobe_domain::inventory::LeakedSegment;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::PageSize;

/// One line of `/proc/sysvipc/shm` (sysvipc(7)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The id.
    pub id: i32,
    /// The length in bytes.
    pub bytes: u64,
    /// The pid of the process that created it.
    pub creator: u32,
    /// The number of attached processes.
    pub attached: u64,
    /// The resident bytes as counted by the kernel; see [`leaked`].
    pub resident: u64,
}

/// Reads the SysV segments of this IPC namespace. Absent: a kernel without SysV IPC.
pub(super) fn read(root: &HostRoot) -> Reading<Vec<Segment>> {
    root.table("/proc/sysvipc/shm").map(|table| parse_shm(&table))
}

/// Parses the text of `/proc/sysvipc/shm`. The columns are found by their names in the first line. Lines that do not
/// match are ignored.
#[must_use]
pub fn parse_shm(text: &str) -> Vec<Segment> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split_ascii_whitespace().collect();
    let column = |name: &str| header.iter().position(|found| *found == name);
    let columns = (column("shmid"), column("size"), column("cpid"), column("nattch"), column("rss"));
    let (Some(id), Some(bytes), Some(creator), Some(attached), Some(resident)) = columns else {
        return Vec::new();
    };
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            Some(Segment {
                id: fields.get(id)?.parse().ok()?,
                bytes: fields.get(bytes)?.parse().ok()?,
                creator: fields.get(creator)?.parse().ok()?,
                attached: fields.get(attached)?.parse().ok()?,
                resident: fields.get(resident)?.parse().ok()?,
            })
        })
        .collect()
}

/// Returns those of `segments` that hold huge pages and have no process attached.
///
/// `untraced` are the pages in use that nothing else accounts for; the pages of the segments are subtracted from it.
/// `saw_all` is whether all processes were seen.
///
/// Before Linux 6.7, the resident bytes of a segment with huge pages are the bytes of its pages. Since then, the kernel
/// multiplies its number of base pages by the huge page size once more, which is far more than the length of the
/// segment (seen on 6.18: one 2Mi page is shown as 1 GiB).
#[must_use]
pub fn leaked(
    segments: &[Segment],
    base_page: u64,
    saw_all: bool,
    untraced: &mut [(PageSize, u64)],
) -> Vec<LeakedSegment> {
    let ordinary = |segment: &Segment| {
        segment.bytes.checked_next_multiple_of(base_page).is_some_and(|most| segment.resident <= most)
    };
    segments
        .iter()
        .filter(|segment| segment.attached == 0 && (saw_all || !ordinary(segment)))
        .filter_map(|segment| {
            untraced.iter_mut().find_map(|(size, left)| {
                let pages = pages(segment, *size, base_page)?;
                *left = left.checked_sub(pages)?;
                Some(LeakedSegment {
                    id: segment.id,
                    size: *size,
                    pages,
                    bytes: segment.bytes,
                    creator: segment.creator,
                })
            })
        })
        .collect()
}

/// Returns how many pages of `size` the resident bytes of a segment correspond to; `None` if the number would not be
/// whole, or more pages than fit in the segment.
fn pages(segment: &Segment, size: PageSize, base_page: u64) -> Option<u64> {
    let most = segment.bytes.div_ceil(size.bytes());
    let since_6_7 =
        size.bytes().checked_div(base_page).and_then(|base_pages| size.bytes().checked_mul(base_pages));
    since_6_7.into_iter().chain([size.bytes()]).find_map(|bytes| {
        let pages = segment.resident.checked_div(bytes)?;
        (segment.resident.is_multiple_of(bytes) && (1..=most).contains(&pages)).then_some(pages)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The output of Linux 6.18 for three segments: 3 MiB of 2Mi pages with one of them touched, 2 MiB of 4Ki pages
    /// with all of them touched, and 2 MiB of an untouched 2Mi page.
    const SEEN: &str = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap
         0          0   600               3145728 28231 28231      0     0     0     0     0 1795401596          0 1795401596            1073741824                     0
         0          1   600               2097152 28231 28231      0     0     0     0     0 1795401596          0 1795401596               2097152                     0
         0          2   600               2097152 28231     0      0     0     0     0     0          0          0 1795401596                     0                     0
";

    fn size(text: &str) -> PageSize {
        text.parse().unwrap()
    }

    fn segment(bytes: u64, attached: u64, resident: u64) -> Segment {
        Segment { id: 7, bytes, creator: 42, attached, resident }
    }

    #[test]
    fn the_kernels_own_table_is_read() {
        let segments = parse_shm(SEEN);
        assert_eq!(segments.len(), 3);
        assert_eq!(
            segments[0],
            Segment { id: 0, bytes: 3 << 20, creator: 28231, attached: 0, resident: 1 << 30 }
        );
    }

    #[test]
    fn pages_that_nothing_else_accounts_for_tell_which_segments_are_huge() {
        let mut untraced = [(size("2Mi"), 1)];
        let found = leaked(&parse_shm(SEEN), 4096, true, &mut untraced);
        assert_eq!(found.iter().map(|f| (f.id, f.pages)).collect::<Vec<_>>(), [(0, 1)]);
        assert_eq!(untraced, [(size("2Mi"), 0)]);
        assert_eq!(leaked(&parse_shm(SEEN), 4096, true, &mut []), []);
    }

    #[test]
    fn older_and_newer_kernels_count_what_is_resident_in_their_own_way() {
        for (bytes, resident, page, pages) in [
            (4 << 20, 4 << 20, "2Mi", Some(2)),
            (4 << 20, 2 << 30, "2Mi", Some(2)),
            (1 << 30, 1 << 48, "1Gi", Some(1)),
            (3 << 20, 2 << 20, "2Mi", Some(1)),
            (4 << 20, 6 << 20, "2Mi", None),
            (4 << 20, (2 << 20) + 4096, "2Mi", None),
            (4 << 20, 0, "2Mi", None),
            (0, 0, "2Mi", None),
        ] {
            let found = leaked(&[segment(bytes, 0, resident)], 4096, true, &mut [(size(page), 9)]);
            assert_eq!(found.first().map(|found| found.pages), pages, "{bytes} {resident} {page}");
        }
    }

    #[test]
    fn where_some_processes_were_not_seen_only_what_cannot_be_ordinary_is_named() {
        let mut untraced = [(size("2Mi"), 9)];
        let found = leaked(&parse_shm(SEEN), 4096, false, &mut untraced);
        assert_eq!(found.iter().map(|f| f.id).collect::<Vec<_>>(), [0]);
        let found = leaked(&parse_shm(SEEN), 4096, true, &mut untraced);
        assert_eq!(found.iter().map(|f| f.id).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_segment_in_use_or_larger_than_what_is_missing_is_not_named() {
        assert_eq!(leaked(&[segment(2 << 20, 1, 2 << 20)], 4096, true, &mut [(size("2Mi"), 9)]), []);
        assert_eq!(leaked(&[segment(4 << 20, 0, 4 << 20)], 4096, true, &mut [(size("2Mi"), 1)]), []);
    }

    #[test]
    fn garbage_has_no_segments() {
        for text in [
            "",
            "\n",
            "shmid size cpid nattch\n1 2 3 4",
            "shmid size cpid nattch rss\n1 2 3\nx 1 1 1 1\n-1 -1 1 0 1",
        ] {
            assert_eq!(parse_shm(text), [], "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_table_panics(text in "(shmid size cpid nattch rss\n)?([0-9 -]{0,60}\n){0,5}", base: u64, saw_all: bool, left: u64) {
            let _ = leaked(&parse_shm(&text), base, saw_all, &mut [(size("16Gi"), left), (size("64Ki"), left)]);
        }
    }
}
