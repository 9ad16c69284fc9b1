//! HP109: the pages that `--reserve` got.

use std::collections::BTreeMap;

use crate::catalogue::HP109;
use crate::check::{Because, Finding, Outcome};
use crate::reserve::Granted;
use crate::size::PageSize;

/// Returns one finding per page size in `granted`.
///
/// `owed` lists what could not be given back and why. It is empty if everything was given back.
#[must_use]
pub fn inspect(granted: &[Granted], owed: &[String]) -> Vec<Finding> {
    let mut sizes: BTreeMap<PageSize, Vec<&Granted>> = BTreeMap::new();
    for one in granted {
        sizes.entry(one.asked.size).or_default().push(one);
    }
    sizes.into_iter().map(|(size, granted)| inspect_size(size, &granted, owed)).collect()
}

fn inspect_size(size: PageSize, granted: &[&Granted], owed: &[String]) -> Finding {
    let asked: u64 = granted.iter().map(|one| one.asked.pages).fold(0, u64::saturating_add);
    let got: u64 = granted.iter().map(|one| one.got).fold(0, u64::saturating_add);
    let shortfall: Vec<&str> = granted.iter().flat_map(|one| &one.shortfall).map(String::as_str).collect();
    let finding = if !owed.is_empty() {
        let because = Because::new(format!("{got} pages given back at the end of the run"), owed.join("; "))
            .remedy("run hugeprobe check as root again: it gives back what the journal of this run lists");
        Finding::not_pass(HP109, size, Outcome::Fail, "not all pages of --reserve were given back", because)
    } else if got < asked {
        let mut seen = format!("{got} pages");
        if !shortfall.is_empty() {
            seen = format!("{seen}: {}", shortfall.join("; "));
        }
        let because = Because::new(format!("{asked} pages of {size}"), seen);
        Finding::not_pass(
            HP109,
            size,
            Outcome::Warn,
            format!("--reserve got {got} of {asked} pages"),
            because,
        )
    } else {
        Finding::pass(HP109, size, format!("{got} pages added by --reserve"))
    };
    finding.with("asked", asked).with("got", got).with("granted", granted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(asked: &str, got: u64) -> Granted {
        let shortfall = if got == 0 { vec!["ENOMEM".to_owned()] } else { Vec::new() };
        Granted { asked: asked.parse().unwrap(), got, pools: Vec::new(), shortfall }
    }

    #[test]
    fn fewer_than_asked_is_a_warning_with_both_numbers() {
        let findings =
            inspect(&[granted("2Mi=16@numa0", 16), granted("2Mi=8@numa1", 0), granted("1Gi=1", 1)], &[]);
        assert_eq!(findings.len(), 2);
        assert_eq!(findings[0].outcome, Outcome::Warn);
        assert!(
            findings[0].summary.contains("16 of 24") && findings[0].seen.contains("ENOMEM"),
            "{:?}",
            findings[0]
        );
        assert_eq!(findings[1].outcome, Outcome::Pass);
    }

    #[test]
    fn pages_that_are_still_owed_are_a_failure() {
        let findings = inspect(&[granted("2Mi=16", 16)], &["cannot write nr_hugepages".to_owned()]);
        assert_eq!(findings[0].outcome, Outcome::Fail);
        assert!(findings[0].seen.contains("nr_hugepages") && !findings[0].remedy.is_empty());
    }
}
