//! HP3xx on real mounts: each check is made to fail.

use crate::Case;
use crate::context::program::{check, check_in};
use crate::context::{Machine, Missing, SMALL};

pub(crate) const CASES: &[Case] = &[
    ("mount: a directory of the right size passes, and the anonymous steps are advice", healthy),
    ("mount: HP301 fails for a tmpfs, a missing directory and another page size", wrong),
    ("mount: HP302 fails for another uid, and read-only", not_writable),
    ("mount: HP303 fails when size= leaves too little room, and min_size= does not disturb", too_small),
    ("mount: HP304 fails when nr_inodes= is used up", out_of_inodes),
    ("mount: HP305 warns of a mount on top", hidden),
    ("mount: HP306 fails if DPDK may not open a hugetlbfs that it does not use", not_lockable),
    ("mount: HP307 fails if DPDK cannot create its runtime directory", no_runtime_directory),
    ("mount: a path with a space is a path", odd_path),
    ("mount: the directory is left as it was found", nothing_left),
];

const MOUNT: &str = "mount -t hugetlbfs none $DIR -o pagesize=2M";

fn healthy(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let run = check_in(MOUNT, &["--dir", "$DIR"]);
    for id in ["HP301", "HP302", "HP303", "HP304", "HP305", "HP501", "HP502", "HP503", "HP504", "HP505"] {
        run.expect(id, "pass");
    }
    assert_eq!(run.report()["sizes"].as_array().unwrap().len(), 1, "--dir names the size");
    Ok(())
}

fn wrong(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    for (preamble, directory) in [
        ("mount -t tmpfs none $DIR", "$DIR"),
        ("mount -t hugetlbfs none $DIR -o pagesize=1G", "$DIR"),
        ("true", "/nowhere/at/all"),
        ("true", "/etc/passwd"),
    ] {
        let run = check_in(preamble, &["--size", "2Mi", "--dir", directory]);
        run.expect("HP301", "fail");
        assert_eq!(run.code, Some(1), "{preamble}");
        assert_ne!(run.outcome("HP501"), "pass", "{preamble}: nothing else may be taken instead");
    }
    Ok(())
}

fn not_writable(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let run = check_in(&format!("{MOUNT},ro"), &["--dir", "$DIR"]);
    run.expect("HP302", "fail");
    // As another uid: the script replaces its arguments, so that `setpriv` starts the program.
    let nobody =
        format!("chmod 755 $DIR; {MOUNT}; set -- setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"");
    let run = check_in(&nobody, &["--dir", "$DIR"]);
    let entry = run.expect("HP302", "fail");
    assert!(entry["seen"].as_str().unwrap().contains("EACCES"), "{entry:#}");
    assert_eq!(run.code, Some(1));
    // If the hugetlbfs is mounted for that uid, the same run passes.
    let theirs = format!(
        "chmod 755 $DIR; {MOUNT},uid=65534; set -- setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\""
    );
    let run = check_in(&theirs, &["--dir", "$DIR"]);
    run.expect("HP302", "pass");
    run.expect("HP502", "pass");
    // DPDK lists the directory, too.
    let unlisted =
        format!("{MOUNT},mode=0333; set -- setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"");
    check_in(&unlisted, &["--dir", "$DIR"]).expect("HP302", "fail");
    check_in(&unlisted, &["--dir", "$DIR", "--workload", "qemu"]).expect("HP302", "pass");
    Ok(())
}

fn too_small(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 8)?;
    let run = check_in(&format!("{MOUNT},size=4M"), &["--dir", "$DIR", "--need", "2Mi=3"]);
    run.expect("HP303", "fail");
    run.expect("HP509", "fail");
    let run = check_in(&format!("{MOUNT},size=6M"), &["--dir", "$DIR", "--need", "2Mi=3"]);
    run.expect("HP303", "pass");
    run.expect("HP509", "pass");
    // The pages that min_size= reserves are available to files of this mount.
    let run = check_in(&format!("{MOUNT},min_size=4M"), &["--dir", "$DIR", "--only", "HP5"]);
    run.expect("HP502", "pass");
    Ok(())
}

fn out_of_inodes(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let run = check_in(&format!("{MOUNT},nr_inodes=2; touch $DIR/last"), &["--dir", "$DIR"]);
    run.expect("HP304", "fail");
    assert_eq!(run.code, Some(1));
    Ok(())
}

fn hidden(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    check_in(&format!("{MOUNT}; {MOUNT}"), &["--size", "2Mi"]).expect("HP305", "warn");
    check_in(&format!("{MOUNT}; mount -t tmpfs none $DIR"), &["--size", "2Mi"]).expect("HP305", "warn");
    Ok(())
}

fn not_lockable(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let nobody = "set -- setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"";
    let below = "mkdir $DIR/a; mount -t hugetlbfs none $DIR/a -o pagesize=2M";
    let spaced = "mkdir \"$DIR/a b\"; mount -t hugetlbfs none \"$DIR/a b\" -o pagesize=2M";
    for (preamble, outcome) in [
        (MOUNT.to_owned(), "pass"),
        (format!("{MOUNT}; {nobody}"), "pass"),
        (format!("{MOUNT},mode=0711; {nobody}"), "fail"),
        (format!("mount -t hugetlbfs none $DIR -o pagesize=1G,mode=0700; {nobody}"), "fail"),
        (format!("{below}; mount -t tmpfs none $DIR"), "fail"),
        (spaced.to_owned(), "fail"),
        (format!("{MOUNT}; exec 9<$DIR; flock 9"), "unknown"),
        (
            format!(
                "{MOUNT}; exec 9<$DIR; flock 9; mkdir $DIR/a; mount -t hugetlbfs none $DIR/a -o pagesize=1G,mode=0700; {nobody}"
            ),
            "fail",
        ),
    ] {
        let run = check_in(&preamble, &["--size", "2Mi"]);
        let entry = run.expect("HP306", outcome);
        assert_eq!(entry["size"], serde_json::Value::Null, "{preamble}");
        assert_eq!(
            run.code,
            Some(if outcome == "pass" {
                0
            } else if outcome == "fail" {
                1
            } else {
                3
            }),
            "{preamble}"
        );
    }
    check_in(&format!("{MOUNT},mode=0711; {nobody}"), &["--size", "2Mi", "--workload", "qemu"])
        .expect("HP306", "skip");
    check_in(MOUNT, &["--dir", "$DIR"]).expect("HP306", "skip");
    Ok(())
}

fn no_runtime_directory(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let read_only = format!("{MOUNT}; mount --bind /run /run; mount -o remount,bind,ro /run");
    check_in(&read_only, &["--dir", "$DIR"]).expect("HP307", "fail");
    check_in(&read_only, &["--dir", "$DIR", "--workload", "qemu"]).expect("HP307", "skip");
    check_in(&read_only, &["--size", "2Mi"]).expect("HP307", "fail");
    check_in(&read_only, &["--size", "2Mi", "--workload", "ovs"]).expect("HP307", "fail");
    check_in(MOUNT, &["--dir", "$DIR"]).expect("HP307", "pass");
    let elsewhere = format!("{read_only}; export RUNTIME_DIRECTORY=/tmp");
    check_in(&elsewhere, &["--dir", "$DIR"]).expect("HP307", "pass");
    let full = format!("{MOUNT}; mount -t tmpfs -o size=4k none /run; echo > /run/file");
    check_in(&full, &["--dir", "$DIR"]).expect("HP307", "fail");
    check_in(&full, &["--size", "2Mi"]).expect("HP307", "pass");
    let long = "a".repeat(100);
    let long = format!("{MOUNT}; mkdir $DIR/{long}; export RUNTIME_DIRECTORY=$DIR/{long}");
    check_in(&long, &["--size", "2Mi"]).expect("HP307", "fail");
    check_in(&format!("{MOUNT}; umask 0177"), &["--size", "2Mi"]).expect("HP307", "pass");
    let nobody = format!(
        "{MOUNT}; export XDG_RUNTIME_DIR=/tmp; set -- setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\""
    );
    check_in(&format!("{nobody}; umask 0177"), &["--size", "2Mi"]).expect("HP307", "fail");
    check_in(&nobody, &["--size", "2Mi"]).expect("HP307", "pass");
    Ok(())
}

fn odd_path(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let preamble = "mkdir \"$DIR/a b\"; mount -t hugetlbfs none \"$DIR/a b\" -o pagesize=2M";
    let run = check_in(preamble, &["--dir", "$DIR/a b", "--workload", "qemu"]);
    run.expect("HP301", "pass");
    run.expect("HP502", "pass");
    // DPDK does not find it, because it compares with the escaped path in /proc/mounts.
    check_in(preamble, &["--dir", "$DIR/a b"]).expect("HP301", "fail");
    Ok(())
}

fn nothing_left(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let script = format!("{MOUNT}; \"$@\" > /dev/null || true; set -- ls -A $DIR");
    let run = check_in(&script, &["--dir", "$DIR"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    check(&["--size", "2Mi"]).expect("HP502", "pass");
    assert_eq!(mounts(), before);
    Ok(())
}
