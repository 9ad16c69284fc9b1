//! The ten lines at the end of `make test`, for canned output of cargo and of both test runners.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // clippy.toml exempts functions marked #[test], not their helpers

use std::path::Path;
use std::process::Command;

/// The exit code and the summary of this output.
fn summary(output: &str) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    std::fs::write(&log, output).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = Command::new(root.join("tests/run"))
        .arg("--summary")
        .arg(&log)
        .env_remove("HUGEPROBE_SEED")
        .output()
        .unwrap();
    assert!(run.stderr.is_empty(), "{run:?}");
    let text = String::from_utf8(run.stdout).unwrap().replace(log.to_str().unwrap(), "LOG");
    assert!(text.lines().count() <= 10, "{text}");
    (run.status.code().unwrap(), text)
}

const GOOD: &str = "   Compiling hugeprobe v0.1.0
     Running unittests src/lib.rs (target/debug/deps/hugeprobe-6a077bedb16f8494)

running 3 tests
test a::one ... ok
test a::two ... ok
test a::three ... ignored, takes a day
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s

     Running tests/real/main.rs (target/debug/deps/real-eb0bd7cd305528d1)

running 4 tests
test pool: one     ... ok
test pool: another ... HUGEPROBE_SEED=7
ignored (needs 2 pages of 1Gi: the kernel gave 1)
test pool: third   ... \u{1b}[33mignored (needs 2 pages of 1Gi: the kernel gave 1)\u{1b}[0m
test pool: fourth  ... ignored (disturbed: process 7 (qemu) went from 0 kB of huge pages to 2048 kB)

test result: ok. 1 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 8.00s

   Doc-tests hugeprobe

running 0 tests

test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

";

#[test]
fn what_was_left_out_is_counted_by_its_reason_and_is_no_failure() {
    let (code, text) = summary(GOOD);
    assert_eq!(
        text,
        "== 3 passed, 0 failed, 3 left out, 1 disturbed in 3 test binaries
left out: 2: needs 2 pages of 1Gi: the kernel gave 1
left out: 1: takes a day
neither passed nor failed: 1: disturbed: process 7 (qemu) went from 0 kB of huge pages to 2048 kB
"
    );
    assert_eq!(code, 0);
}

/// A binary of which these fail, whose output holds the result of another run, as that of an emulated machine does.
fn failing(name: &str, tests: &[&str]) -> String {
    let list: String = tests.iter().map(|test| format!("    {test}\n")).collect();
    let count = tests.len();
    format!(
        "     Running tests/{name}/main.rs (target/debug/deps/{name}-0123456789abcdef)

running {count} tests

failures:

---- {} stdout ----
thread panicked at x:
    it ran itself:
failures:
    not a name of ours
test result: ok. 99 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s

failures:
{list}
test result: FAILED. 5 passed; {count} failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s

error: test failed, to rerun pass `--test {name}`
",
        tests[0]
    )
}

#[test]
fn a_failure_in_the_middle_is_named_and_hides_nothing() {
    let (code, text) = summary(&format!(
        "{}{GOOD}error: 1 target failed:\n    `--test agent`\n",
        failing("agent", &["refused::one", "two"])
    ));
    assert_eq!(code, 1);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "== 8 passed, 2 failed, 3 left out, 1 disturbed in 4 test binaries");
    assert_eq!(lines[1..3], ["failed: agent: refused::one", "failed: agent: two"]);
    assert_eq!(lines.len(), 6);
}

#[test]
fn more_than_ten_lines_hold_is_counted() {
    let names: Vec<String> = (0..40).map(|number| format!("test_{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (code, text) = summary(&(failing("agent", &names) + GOOD));
    assert_eq!(code, 1);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[5], lines[6]), (10, "failed: agent: test_4", "and 35 more: see LOG"));
    assert!(lines[7].starts_with("left out: 2: "), "{text}");
}

#[test]
fn a_binary_that_is_killed_is_a_failure_with_its_signal() {
    let (code, text) = summary(&format!(
        "     Running tests/cli.rs (target/debug/deps/cli-0123456789abcdef)

running 2 tests
test one ... ok
error: test failed, to rerun pass `--test cli`

Caused by:
  process didn't exit successfully: `/x/target/debug/deps/cli-0123456789abcdef` (signal: 9, SIGKILL: kill)
{GOOD}"
    ));
    assert_eq!(code, 1);
    assert!(text.contains("3 left out, 1 disturbed, 1 broken in 3 test binaries\n"), "{text}");
    assert!(text.contains("failed: cli: ended without a test result (signal: 9, SIGKILL: kill)\n"), "{text}");
}

#[test]
fn a_binary_that_ends_badly_after_a_good_result_is_a_failure() {
    let (code, text) = summary(&format!("{GOOD}error: doctest failed, to rerun pass `--doc`\n"));
    assert_eq!(code, 1);
    assert!(text.contains("failed: doc-tests: failed though no test did\n"), "{text}");
}

#[test]
fn what_could_not_be_built_or_run_is_a_failure() {
    for (output, says) in [
        (
            "error[E0308]: mismatched types\nerror: could not compile `hugeprobe` (test \"agent\") due to 1 previous error\n",
            "failed: cargo: could not compile `hugeprobe` (test \"agent\") due to 1 previous error\n",
        ),
        ("error: the lock file needs to be updated\n", "failed: cargo: the lock file needs to be updated\n"),
        ("", "failed: cargo: no test binary was run\n"),
    ] {
        let (code, text) = summary(output);
        assert_eq!(code, 1, "{output}");
        assert!(text.contains(says), "{text}");
    }
}
