//! Reads from `/proc/cpuinfo` whether an x86 CPU supports 1 GiB pages.

use super::root::HostRoot;
use hugeprobe_domain::reading::Reading;

/// Returns whether the CPU supports 1 GiB pages (`pdpe1gb`); `Absent` on CPUs other than x86.
#[must_use]
pub fn has_1gi(root: &HostRoot) -> Reading<bool> {
    root.table("/proc/cpuinfo").and_then(|text| parse_cpuinfo(&text).map_or(Reading::Absent, Reading::Known))
}

/// Returns whether the flags of the first CPU contain `pdpe1gb`; `None` without a line of flags, which only x86 has
/// (arm64 has `Features`, RISC-V has `isa`).
#[must_use]
pub fn parse_cpuinfo(text: &str) -> Option<bool> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim_end() == "flags")
        .map(|(_, flags)| flags.split_ascii_whitespace().any(|flag| flag == "pdpe1gb"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_flag_is_a_question_on_x86_alone() {
        for (text, has) in [
            ("processor\t: 0\nflags\t\t: fpu vme pdpe1gb rdtscp\n", Some(true)),
            ("flags\t\t: fpu vme pdpe1gbx\n", Some(false)),
            ("flags\t\t:\n", Some(false)),
            ("flags : fpu\nflags : pdpe1gb", Some(false)),
            ("processor\t: 0\nFeatures\t: fp asimd\n", None),
            ("vmx flags\t: pdpe1gb\n", None),
            ("", None),
        ] {
            assert_eq!(parse_cpuinfo(text), has, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse_cpuinfo(&text);
        }
    }
}
