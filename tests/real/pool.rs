//! HP1xx on real pages: each check that can be made to fail on this machine is.

use crate::Case;
use crate::context::program::{check, check_in};
use crate::context::{LARGE, Machine, Missing, SMALL, child, pools};

pub(crate) const CASES: &[Case] = &[
    ("pool: a healthy one passes everything that is built", healthy),
    ("pool: HP101 fails when pages are needed and there is no pool", missing),
    ("pool: a size named alone, without pages, is none and exit 1", none),
    ("pool: HP102 is unknown when another process holds every page", busy),
    ("pool: HP102 is unknown when another process has reserved every page", reserved),
    ("pool: HP103 passes and fails by --expect", expected),
    ("pool: HP105 warns of a leaked file and fails when it holds the last page", leaked),
    ("pool: HP106 warns when there is nothing but overcommit, and the steps still pass", overcommit),
];

fn healthy(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let run = check(&["--size", "2Mi"]);
    for id in ["HP101", "HP102", "HP105", "HP501", "HP502", "HP503", "HP504", "HP505", "HP508"] {
        run.expect(id, "pass");
    }
    Ok(())
}

fn missing(machine: &Machine) -> Result<(), Missing> {
    let _empty = machine.empty_pool(LARGE)?;
    let run = check(&["--need", "1Gi=1"]);
    assert_eq!(run.code, Some(1));
    run.expect_of(Some("1Gi"), "HP101", "fail");
    run.expect_of(Some("1Gi"), "HP509", "fail");
    let run = check(&["--expect", "1Gi>=1"]);
    assert_eq!(run.code, Some(1));
    run.expect_of(Some("1Gi"), "HP101", "fail");
    Ok(())
}

fn none(machine: &Machine) -> Result<(), Missing> {
    let _empty = machine.empty_pool(LARGE)?;
    let run = check(&["--size", "1Gi"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(run.report()["verdict"], "none");
    Ok(())
}

fn busy(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let _holder = child::hold(SMALL, pools::available(SMALL), child::How::Touched);
    let run = check(&["--size", "2Mi"]);
    run.expect("HP102", "unknown");
    run.expect("HP501", "unknown");
    assert_eq!(run.code, Some(3));
    let run = check(&["--size", "2Mi", "--need", "2Mi=1"]);
    run.expect("HP509", "fail");
    assert_eq!(run.code, Some(1));
    Ok(())
}

fn reserved(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let _holder = child::hold(SMALL, pools::available(SMALL), child::How::Reserved);
    let run = check(&["--size", "2Mi"]);
    run.expect("HP102", "unknown");
    run.expect("HP502", "unknown");
    let run = check(&["--size", "2Mi", "--need", "2Mi=1"]);
    run.expect("HP509", "fail");
    Ok(())
}

fn expected(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let there = pools::persistent(SMALL);
    check(&["--expect", &format!("2Mi={there}")]).expect("HP103", "pass");
    check(&["--expect", &format!("2Mi@numa0>={there}")]).expect("HP103", "pass");
    let run = check(&["--expect", &format!("2Mi>={}", there + 1)]);
    run.expect("HP103", "fail");
    assert_eq!(run.code, Some(1));
    check(&["--expect", "2Mi@numa99>=1"]).expect("HP103", "fail");
    Ok(())
}

fn leaked(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let mount = "mount -t hugetlbfs -o pagesize=2M none $DIR";
    let run = check_in(&format!("{mount}; fallocate -l 2M $DIR/rtemap_0"), &["--size", "2Mi"]);
    let entry = run.expect("HP105", "warn");
    assert!(entry["remedy"].as_str().unwrap().contains("rtemap_0"), "{entry:#}");
    let all = pools::available(SMALL) * 2;
    let run = check_in(&format!("{mount}; fallocate -l {all}M $DIR/rtemap_0"), &["--size", "2Mi"]);
    run.expect("HP105", "fail");
    assert_eq!(run.code, Some(1));
    // A file that a process holds open has an owner. All pages are taken, so that the owners are looked up.
    let run = check_in(
        &format!("{mount}; exec 9<>$DIR/rtemap_0; fallocate -l {all}M $DIR/rtemap_0"),
        &["--size", "2Mi"],
    );
    run.expect("HP105", "pass");
    Ok(())
}

fn overcommit(machine: &Machine) -> Result<(), Missing> {
    machine.root()?;
    let before = pools::counter(SMALL, "nr_overcommit_hugepages");
    let there = pools::available(SMALL);
    let _holder = (there > 0).then(|| child::hold(SMALL, there, child::How::Touched));
    pools::set(SMALL, "nr_overcommit_hugepages", 4);
    let run = check(&["--size", "2Mi"]);
    pools::set(SMALL, "nr_overcommit_hugepages", before);
    run.expect("HP106", "warn");
    for id in ["HP501", "HP502", "HP503", "HP504", "HP505"] {
        run.expect(id, "pass");
    }
    Ok(())
}
