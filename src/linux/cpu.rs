//! What `/proc/cpuinfo` tells about huge pages: on x86, whether there are any of 1 GiB.

use super::root::HostRoot;
use crate::domain::reading::Reading;

/// Whether the CPU has pages of 1 GiB (`pdpe1gb`). `Absent` on other CPUs than x86.
#[must_use]
pub fn has_1gi(root: &HostRoot) -> Reading<bool> {
    root.table("/proc/cpuinfo").and_then(|text| parse_cpuinfo(&text).map_or(Reading::Absent, Reading::Known))
}

/// Whether the flags of the first CPU have `pdpe1gb`; `None` without a line of flags, which x86 alone prints (arm64
/// says `Features`, RISC-V `isa`).
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
