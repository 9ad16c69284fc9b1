//! Parses Kubernetes quantities of huge pages.

use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::PageSize;

/// Returns the page size and the number of whole pages of a `hugepages-<size>` resource; `None` for any other resource.
///
/// The number is [`Reading::Malformed`] if `amount` is not a quantity or not a multiple of the page size.
#[must_use]
pub fn in_pages(resource: &str, amount: &str) -> Option<(PageSize, Reading<u64>)> {
    let size: PageSize = resource.strip_prefix("hugepages-")?.parse().ok()?;
    let pages = match bytes(amount) {
        Some(bytes) if bytes % size.bytes() == 0 => Reading::Known(bytes / size.bytes()),
        _ => {
            let text: String = amount.chars().take(40).collect();
            Reading::Malformed(format!(
                "{resource}: '{}' is not a whole number of pages",
                text.escape_debug()
            ))
        }
    };
    Some((size, pages))
}

/// Returns the bytes of a quantity that has a binary unit, a decimal unit or no unit.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 11] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("Ei", 1 << 60),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("", 1),
    ];
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Returns twice the quantity, in the same unit. Text that does not begin with a number is returned unchanged.
#[must_use]
pub fn twice(text: &str) -> String {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = fraction.len();
    let Some(twice) = format!("{whole}{fraction}").parse().ok().and_then(|all: u64| all.checked_mul(2))
    else {
        return text.to_owned();
    };
    // One digit before the decimal point, at least.
    let twice = format!("{twice:0>width$}", width = digits + 1);
    match twice.split_at_checked(twice.len().saturating_sub(digits)) {
        Some((whole, fraction)) if !fraction.is_empty() => format!("{whole}.{fraction}{unit}"),
        _ => format!("{twice}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn capacity_is_counted_in_pages() {
        let pages = |resource: &str, amount: &str| in_pages(resource, amount).map(|(_, pages)| pages.get());
        for (resource, amount, expected) in [
            ("hugepages-2Mi", "1Gi", Some(Some(512))),
            ("hugepages-1Gi", "16Gi", Some(Some(16))),
            ("hugepages-1Gi", "0", Some(Some(0))),
            ("hugepages-2Mi", "4194304", Some(Some(2))),
            ("hugepages-2Mi", "3Mi", Some(None)),
            ("hugepages-2Mi", "1e9", Some(None)),
            ("hugepages-2Mi", "-1", Some(None)),
            ("hugepages-2Mi", "99999999999Ei", Some(None)),
            ("memory", "1Gi", None),
            ("hugepages-3Mi", "3Mi", None),
        ] {
            assert_eq!(pages(resource, amount), expected, "{resource} {amount}");
        }
    }

    #[test]
    fn twice_keeps_the_unit() {
        for (one, two) in [
            ("200m", "400m"),
            ("1", "2"),
            ("0.2", "0.4"),
            ("0.05", "0.10"),
            ("1.5Gi", "3.0Gi"),
            ("32Mi", "64Mi"),
            ("1e3", "2e3"),
            ("", ""),
            ("x", "x"),
            (".5", "1.0"),
            ("99999999999999999999", "99999999999999999999"),
        ] {
            assert_eq!(twice(one), two);
        }
    }

    proptest! {
        #[test]
        fn no_amount_panics(resource in "(hugepages-)?\\PC{0,12}", amount in "\\PC{0,24}") {
            let _ = in_pages(&resource, &amount);
            let _ = twice(&amount);
        }
    }
}
