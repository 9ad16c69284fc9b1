//! Mount tables for the lookup of mounts, as Linux 6.18 printed them after the commands in each comment.

use proptest::prelude::*;

use super::*;

/// Builds a table from `id parent device root path` of each mount. The type is hugetlbfs unless another one follows.
fn table(lines: &[&str]) -> String {
    lines
        .iter()
        .map(|line| {
            let mut fields = line.split(' ').collect::<Vec<_>>();
            let filesystem = if fields.len() > 5 { fields.pop().unwrap() } else { "hugetlbfs" };
            format!("{} rw,relatime shared:{} - {filesystem} none rw\n", fields.join(" "), fields[0])
        })
        .collect()
}

fn hiders(lines: &[&str]) -> Vec<(u64, Option<u64>)> {
    let text = table(lines);
    let table = parse_mountinfo(&text).unwrap();
    let huge = table.iter().filter(|mount| mount.filesystem == "hugetlbfs");
    huge.map(|mount| (mount.id, table.hider(mount).map(|hider| hider.id))).collect()
}

const ROOT: &str = "44 43 254:0 / / ext4";

#[test]
fn fields_are_told_apart_with_any_number_of_optional_ones() {
    for optional in ["", "shared:1 ", "master:2 propagate_from:1 ", "unbindable "] {
        let line =
            format!("36 35 98:0 /mnt1 /mnt2 rw,noatime {optional}- ext3 /dev/root rw,errors=continue\n");
        let table = parse_mountinfo(&line).unwrap();
        let mount = table.iter().next().unwrap();
        assert_eq!((mount.id, mount.parent, mount.device), (36, 35, "98:0"));
        assert_eq!((mount.root.as_ref(), mount.path.as_ref()), ("/mnt1", "/mnt2"));
        assert_eq!(
            (mount.mount_options, mount.filesystem, mount.super_options),
            ("rw,noatime", "ext3", "rw,errors=continue")
        );
    }
}

#[test]
fn an_empty_source_shifts_no_field() {
    let table = parse_mountinfo("36 35 0:9 / /h rw - hugetlbfs  rw,pagesize=2M").unwrap();
    assert_eq!(table.iter().next().unwrap().super_options, "rw,pagesize=2M");
}

#[test]
fn a_line_that_is_none_spoils_the_table_and_is_shown() {
    for line in [
        "garbage",
        "36 35 98:0 / / rw ext3 /dev/root rw",
        "x 35 98:0 / / rw - ext3 a rw",
        "36 35 98 / / rw - ext3 a rw",
        "36 35 98:x / / rw - ext3 a rw",
        "36 35 98:0 / / rw -",
        "36 35 98:0 / / rw - ext3",
        "-1 35 98:0 / / rw - ext3 a rw",
    ] {
        let text = format!("{}{line}\n", table(&[ROOT]));
        let why = parse_mountinfo(&text).unwrap_err();
        assert!(why.contains(line.get(..10).unwrap_or(line)), "{line}: {why}");
    }
}

#[test]
fn escapes_are_undone_and_other_backslashes_stay() {
    for (escaped, plain) in [
        (r"/sp\040ace", "/sp ace"),
        (r"/t\011ab", "/t\tab"),
        (r"/n\012l", "/n\nl"),
        (r"/b\134s", r"/b\s"),
        (r"/b\134040", r"/b\040"),
        (r"sr\040c\043", "sr c#"),
        (r"/a\", r"/a\"),
        (r"/a\04", r"/a\04"),
        (r"/a\999", r"/a\999"),
        (r"/a\377", r"/a\377"),
        (r"/a\é12", r"/a\é12"),
        (r"\\040", "\\ "),
    ] {
        assert_eq!(unescape(escaped), plain, "{escaped}");
    }
}

#[test]
fn the_upper_of_stacked_mounts_hides_the_lower() {
    // mount -t hugetlbfs none st; mount -t hugetlbfs none st; mount -t tmpfs none st
    let lines = [ROOT, "66 44 0:41 / /st", "67 66 0:42 / /st", "68 67 0:43 / /st tmpfs"];
    assert_eq!(hiders(&lines), [(66, Some(67)), (67, Some(68))]);
    assert_eq!(hiders(&lines[..3]), [(66, Some(67)), (67, None)]);
}

#[test]
fn a_mount_above_hides_what_was_mounted_before_and_not_what_came_after() {
    // mount none a/b; mount none a/bc; mount -t tmpfs none a; mkdir a/b; mount none a/b
    let lines = [
        ROOT,
        "69 44 0:44 / /a/b",
        "70 44 0:45 / /a/bc",
        "71 44 0:46 / /a tmpfs",
        "72 71 0:47 / /a/b",
        "73 44 0:48 / /ab",
    ];
    assert_eq!(hiders(&lines), [(69, Some(71)), (70, Some(71)), (72, None), (73, None)]);
}

#[test]
fn siblings_with_a_common_beginning_do_not_hide_each_other() {
    let lines = [ROOT, "69 44 0:44 / /a/b", "70 44 0:45 / /a/bc", "71 44 0:46 / /a/b/c tmpfs"];
    assert_eq!(hiders(&lines), [(69, None), (70, None)]);
}

#[test]
fn a_bind_mount_onto_itself_hides_nothing_but_what_is_mounted_below() {
    // mount none x; mount none x/sub; mount --bind x y; mount --bind x x
    let lines = [
        ROOT,
        "73 44 0:48 / /x",
        "74 73 0:50 / /x/sub",
        "75 44 0:48 / /y",
        "76 73 0:48 / /x",
        "77 44 0:48 /sub /z",
    ];
    assert_eq!(hiders(&lines), [(73, None), (74, Some(76)), (75, None), (76, None), (77, None)]);
    // ... and then mount -t tmpfs none x
    let mut lines = lines.to_vec();
    lines.push("78 76 0:51 / /x tmpfs");
    assert_eq!(hiders(&lines), [(73, Some(78)), (74, Some(76)), (75, None), (76, Some(78)), (77, None)]);
    // A mount of another directory of the same file system does hide it.
    assert_eq!(hiders(&[ROOT, "73 44 0:48 / /x", "76 73 0:48 /sub /x"]), [(73, Some(76)), (76, None)]);
}

#[test]
fn ids_and_the_order_of_lines_decide_nothing() {
    // mount -t tmpfs none mv; mount none mv/h; mount --move mv st, over the hugetlbfs that was there
    let lines = ["67 66 0:42 / /st tmpfs", "68 67 0:43 / /st/h", "66 44 0:41 / /st", ROOT];
    assert_eq!(hiders(&lines), [(68, None), (66, Some(67))]);
    let reused = [ROOT, "70 44 0:44 / /a/b", "45 44 0:46 / /a tmpfs"];
    assert_eq!(hiders(&reused), [(70, Some(45))]);
}

#[test]
fn a_hidden_ancestor_hides_what_stands_on_it() {
    let lines = [
        ROOT,
        "60 44 0:40 / /a tmpfs",
        "61 60 0:41 / /a/b tmpfs",
        "62 61 0:42 / /a/b/h",
        "63 60 0:43 / /a tmpfs",
    ];
    assert_eq!(hiders(&lines), [(62, Some(63))]);
}

#[test]
fn a_mount_over_the_root_hides_nothing_from_a_process_that_has_its_root_below() {
    // mount -t tmpfs none /: ls / still lists the old root
    assert_eq!(hiders(&[ROOT, "64 44 0:39 / /huge", "84 44 0:56 / / tmpfs"]), [(64, None)]);
}

#[test]
fn in_a_chroot_the_mount_of_the_root_is_not_listed() {
    let lines = ["69 44 0:44 / /a/b", "71 44 0:46 / /a tmpfs", "72 44 0:47 / /c"];
    assert_eq!(hiders(&lines), [(69, Some(71)), (72, None)]);
}

#[test]
fn ids_that_run_in_a_circle_end() {
    let lines = ["1 2 0:1 / /a", "2 1 0:1 / /a", "3 3 0:1 / /b", "4 4 0:2 / /c", "4 4 0:2 / /c"];
    assert_eq!(hiders(&lines).len(), 5);
}

#[test]
fn a_path_of_garbage_a_megabyte_long_does_not_keep_us_busy() {
    let line = format!("70 44 0:45 / {} rw - hugetlbfs none rw", "/a".repeat(1 << 19));
    let table = parse_mountinfo(&line).unwrap();
    assert_eq!(table.hider(table.iter().next().unwrap()), None);
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = parse_mountinfo(&text).map(|table| table.iter().filter(|mount| table.hider(mount).is_some()).count());
        let _ = unescape(&text);
        let _ = options(&text).count();
    }

    #[test]
    fn nothing_that_looks_like_a_table_panics_or_hangs(
        mounts in proptest::collection::vec((0_u64..8, 0_u64..8, "(/[ab]){0,4}"), 0..20)
    ) {
        let text: String = mounts
            .iter()
            .map(|(id, parent, path)| format!("{id} {parent} 0:{id} / /{path} rw - hugetlbfs none rw\n"))
            .collect();
        let table = parse_mountinfo(&text).unwrap();
        for mount in table.iter() {
            let _ = table.hider(mount);
        }
    }

    #[test]
    fn every_path_survives_the_kernels_escapes(path in "[ -~\\t\\n]*") {
        let escaped: String = path
            .chars()
            .map(|c| if " \t\n\\#".contains(c) { format!("\\{:03o}", c as u32) } else { c.to_string() })
            .collect();
        prop_assert_eq!(unescape(&escaped), path);
    }
}
