//! A bundle of a machine on which pages are held and limited gives the findings of the machine.

use std::process::Command;

use serde_json::Value;

use crate::Case;
use crate::context::program::{PROGRAM, check, in_cgroup, run};
use crate::context::{Machine, Missing, SMALL, child, pools};

pub(crate) const CASES: &[Case] = &[("bundle: owners, limits and pools are those of the machine", replayed)];

fn replayed(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let group = machine.cgroup("bundle")?;
    group.limit(SMALL, 1);
    // Other cgroups, of which a bundle has only those that are in conflict.
    let parent = machine.cgroup("bundle-parent")?;
    let below = parent.child("below");
    below.limit(SMALL, 1);
    parent.limit(SMALL, 0);
    let _holder = child::hold(SMALL, pools::available(SMALL) - 1, child::How::Touched);
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("bundle.tar");
    let file = file.to_str().unwrap();
    let asked = ["--size", "2Mi", "--need", "2Mi=2", "--expect", "2Mi>=1"];
    let made = run(in_cgroup(group.path()).args([PROGRAM, "bundle", "-o", file]).args(asked));
    assert_eq!(made.code, Some(0), "{made:?}");
    let there =
        inspected(&run(Command::new("tar").args(["xOf", file, "hugeprobe-bundle/report.json"])).stdout);
    let here = inspected(&check(&[&["--root", file][..], &asked].concat()).stdout);
    assert_eq!(there, here);
    let shown = here.join("\n");
    assert!(
        shown.contains("this cgroup may use 1 of the 2 pages needed") && shown.contains("\"pid\""),
        "{shown}"
    );
    assert!(shown.contains("bundle-parent/below may use no page"), "{shown}");
    // A child must be removed before its parent.
    drop(below);
    Ok(())
}

/// The findings of inspections, and the owners of pages. The checks that are left out ask the kernel of the machine.
fn inspected(report: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(report).unwrap();
    let id = |check: &&Value| check["id"].as_str().unwrap().to_owned();
    let is_inspected = |check: &&Value| {
        ["HP1", "HP3", "HP4"].iter().any(|group| id(check).starts_with(group))
            && !["HP306", "HP307", "HP407", "HP409", "HP411"].contains(&id(check).as_str())
    };
    let text = |check: &Value| {
        let keys = ["id", "size", "outcome", "summary", "expected", "seen", "remedy"];
        let facts = &check["evidence"];
        format!(
            "{} {} {}",
            keys.map(|key| check[key].to_string()).join(" "),
            facts["holders"],
            facts["levels"]
        )
    };
    report["checks"].as_array().unwrap().iter().filter(is_inspected).map(text).collect()
}
