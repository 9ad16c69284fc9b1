//! The machine's name, kernel version and boot id.

use super::root::HostRoot;
use hugeprobe_domain::inventory::Host;
use hugeprobe_domain::reading::Reading;

/// Returns the machine's name, kernel version and boot id. An unknown name or version is shown as `?`, because no check
/// depends on it.
#[must_use]
pub fn read(root: &HostRoot) -> Host {
    let shown = |file| match root.value(file) {
        Reading::Known(text) if !text.is_empty() => text,
        _ => "?".to_owned(),
    };
    Host {
        name: shown("/proc/sys/kernel/hostname"),
        kernel: shown("/proc/sys/kernel/osrelease"),
        boot_id: boot_id(root),
    }
}

/// Returns the id of this boot. `Malformed` if it is not a UUID.
#[must_use]
pub fn boot_id(root: &HostRoot) -> Reading<String> {
    root.parsed("/proc/sys/kernel/random/boot_id", parse_boot_id)
}

/// Returns the boot id if it has the form of a UUID: 8-4-4-4-12 hexadecimal digits.
#[must_use]
pub fn parse_boot_id(text: &str) -> Option<String> {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths = groups.iter().map(|group| group.len());
    let hexadecimal = groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()));
    (hexadecimal && lengths.eq([8, 4, 4, 4, 12])).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_boot_is_known_by_its_uuid_alone() {
        let id = "6a1d2c3e-0000-4fff-8abc-0123456789ab";
        assert_eq!(parse_boot_id(id).as_deref(), Some(id));
        for text in ["", "x", "6a1d2c3e-0000-4fff-8abc-0123456789a", "6a1d2c3e00004fff8abc0123456789ab-----"]
        {
            assert_eq!(parse_boot_id(text), None, "{text}");
        }
    }

    #[test]
    fn a_machine_without_files_still_has_a_name_to_show() {
        let directory = tempfile::tempdir().unwrap();
        let host = read(&HostRoot::new(directory.path()));
        assert_eq!((host.name.as_str(), host.kernel.as_str(), host.boot_id), ("?", "?", Reading::Absent));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9a-f-]{30,40}|\\PC*") {
            let _ = parse_boot_id(&text);
        }
    }
}
