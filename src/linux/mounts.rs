//! The hugetlbfs mounts that this process sees, with their options.
//!
//! The kernel does not show the options as they were given (seen on 6.18). It shows `size=50%` and `size=3M` in bytes,
//! rounded down to whole pages, and `pagesize=1G` as `1024M`.
//!
//! Source: `hugetlbfs_show_options()` in `fs/hugetlbfs/inode.c`.

use super::mountinfo::{self, Mount, MountTable, options};
use super::root::{HostRoot, THIS_PROCESS};
use hugeprobe_domain::inventory::HugeMount;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::parse_bytes;

/// Returns the hugetlbfs mounts that this process sees, in the order of mountinfo.
#[must_use]
pub fn read(root: &HostRoot) -> Reading<Vec<HugeMount>> {
    read_of(root, THIS_PROCESS)
}

/// Returns the hugetlbfs mounts that the process with this directory in /proc sees.
#[must_use]
pub fn read_of(root: &HostRoot, directory: &str) -> Reading<Vec<HugeMount>> {
    mountinfo::read(root, directory, |table| Reading::Known(huge_mounts(table)))
}

/// Returns the hugetlbfs mounts of a table, with their options.
#[must_use]
pub fn huge_mounts(table: &MountTable<'_>) -> Vec<HugeMount> {
    let huge = table.iter().filter(|mount| mount.filesystem == "hugetlbfs");
    huge.map(|mount| huge_mount(table, mount)).collect()
}

fn huge_mount(table: &MountTable<'_>, mount: &Mount<'_>) -> HugeMount {
    let value = |name: &str| {
        let named = |option: &'_ str| Some(option.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        options(mount.super_options).find_map(named)
    };
    HugeMount {
        path: mount.path.clone().into_owned(),
        size: value("pagesize").and_then(|text| text.parse().ok()),
        limit_bytes: value("size").and_then(|text| parse_bytes(&text)),
        min_bytes: value("min_size").and_then(|text| parse_bytes(&text)),
        inodes: value("nr_inodes").and_then(|text| text.parse().ok()),
        read_only: mount.is_read_only(),
        hidden_by: table.hider(mount).map(|hider| hider.path.clone().into_owned()),
        options: options(mount.mount_options)
            .chain(options(mount.super_options))
            .map(str::to_owned)
            .collect(),
        device: mount.device.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mountinfo::parse_mountinfo;

    fn parse(text: &str) -> Result<Vec<HugeMount>, String> {
        parse_mountinfo(text).map(|table| huge_mounts(&table))
    }

    fn one(line: &str) -> HugeMount {
        let mounts = parse(line).unwrap();
        assert_eq!(mounts.len(), 1, "{line}");
        mounts.into_iter().next().unwrap()
    }

    #[test]
    fn every_option_is_read_as_linux_6_18_shows_it() {
        let line = |shown: &str| format!("72 65 0:53 / /mnt/huge rw,relatime - hugetlbfs none {shown}");
        let giga = one(&line("rw,pagesize=1024M,size=1073741824"));
        assert_eq!((giga.size, giga.limit_bytes), ("1Gi".parse().ok(), Some(1 << 30)));
        let all = one(&line(
            "rw,uid=1000,gid=1001,mode=1770,nr_inodes=1024,pagesize=2M,size=4194304,min_size=2097152",
        ));
        assert_eq!(all.size, "2Mi".parse().ok());
        assert_eq!((all.limit_bytes, all.min_bytes, all.inodes), (Some(4 << 20), Some(2 << 20), Some(1024)));
        assert_eq!((all.path.as_str(), all.device.as_str(), all.read_only), ("/mnt/huge", "0:53", false));
        let plain = one(&line("rw,pagesize=64K,size=0"));
        assert_eq!(plain.size, "64Ki".parse().ok());
        assert_eq!((plain.limit_bytes, plain.min_bytes, plain.inodes), (Some(0), None, None));
        assert_eq!(plain.options, ["rw", "relatime", "rw", "pagesize=64K", "size=0"]);
    }

    #[test]
    fn read_only_is_the_mounts_or_the_file_systems() {
        for (mount, file_system, read_only) in [
            ("rw", "rw", false),
            ("ro,relatime", "rw", true),
            ("rw", "ro", true),
            ("rw,rootfs", "rw,prot", false),
        ] {
            let line = format!("72 65 0:53 / /h {mount} - hugetlbfs none {file_system},pagesize=2M");
            assert_eq!(one(&line).read_only, read_only, "{line}");
        }
    }

    #[test]
    fn an_option_that_is_no_number_is_not_known() {
        let mount =
            one("1 0 0:53 / /h rw - hugetlbfs none rw,pagesize=3M,size=50%,nr_inodes=-1,mode=9,uid=,sizes=4");
        assert_eq!((mount.size, mount.limit_bytes, mount.inodes), (None, None, None));
    }

    #[test]
    fn a_comma_in_a_quoted_option_separates_nothing() {
        let mount = one("1 0 0:53 / /h rw - hugetlbfs none rw,context=\"system_u:s0:c1,size=4\",pagesize=2M");
        assert_eq!(mount.limit_bytes, None);
        assert_eq!(mount.options, ["rw", "rw", "context=\"system_u:s0:c1,size=4\"", "pagesize=2M"]);
    }

    #[test]
    fn thousands_of_lines_and_lines_of_megabytes_are_no_matter() {
        let mut text = format!(
            "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:9 / /o rw - overlay o rw,lowerdir={}\n",
            "/l:".repeat(1 << 20)
        );
        for id in 3..20_000 {
            text.push_str(&format!(
                "{id} 1 0:{id} / /var/lib/kubelet/pods/{id}/huge rw - hugetlbfs n rw,pagesize=2M\n"
            ));
        }
        let mounts = parse(&text).unwrap();
        assert_eq!(mounts.len(), 19_997);
        assert!(mounts.iter().all(|mount| mount.hidden_by.is_none()));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn numbers_survive_the_kernels_own_form(size: u64, min: u64, inodes: u64) {
            let line = format!("1 0 0:5 / /h rw - hugetlbfs n rw,nr_inodes={inodes},pagesize=2M,size={size},min_size={min}");
            let mount = one(&line);
            prop_assert_eq!((mount.limit_bytes, mount.min_bytes, mount.inodes), (Some(size), Some(min), Some(inodes)));
        }
    }
}
