//! What a shell sees: exit codes, one sentence for bad input, output closed early, odd environments. No root, no pages.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // clippy.toml exempts functions marked #[test], not their helpers

use std::process::{Command, Output, Stdio};

fn hugeprobe() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hugeprobe"));
    command.stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    hugeprobe().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/nodes/two-socket-1gi");

#[test]
fn bad_input_exits_2_and_names_the_thing() {
    for (arguments, thing) in [
        (&["check", "--size", "3Mi"][..], "3Mi"),
        (&["check", "--size", "4Ki"], "4Ki"),
        (&["check", "--size", "many"], "many"),
        (&["check", "--expect", "2Mi>=-1"], "2Mi>=-1"),
        (&["check", "--expect", "2Mi@node0>=1"], "2Mi@node0>=1"),
        (&["check", "--expect", "2Mi=4", "--expect", "2Mi>=8"], "2Mi>=8"),
        (&["check", "--size", "2Mi", "--need", "1Gi=1"], "1Gi=1"),
        (&["check", "--need", "2Mi=0"], "2Mi=0"),
        (&["check", "--need", "1Gi=99999999999"], "1Gi=99999999999"),
        (&["check", "--only", "HP999"], "HP999"),
        (&["check", "--only", "pool"], "pool"),
        (&["check", "--workload", "vpp"], "vpp"),
        (&["check", "-o", "yaml"], "yaml"),
        (&["check", "--root", "/nowhere/at/all"], "/nowhere/at/all"),
        (&["check", "--root", TREE, "--reserve", "2Mi=1"], "--reserve"),
        (&["check", "--reserve-over-half"], "--reserve <"),
        (&["bundle", "--need", "2Mi=0"], "2Mi=0"),
        (&["bundle", "-o", "/nowhere/at/all.tar"], "/nowhere/at/all.tar"),
        (&["check", "--root", "Cargo.toml"], "Cargo.toml is not a bundle"),
        (&["walk", "--pages", "0"], "0"),
        (&["frontend"], "--socket"),
        (&["frontend", "--socket", "s", "--frame-size", "59"], "59"),
        (&["frontend", "--socket", "s", "--peer", "mirror"], "mirror"),
        (&["backend", "--socket", "s", "--mode", "source"], "--frames"),
        (&["backend", "--socket", "s", "--mode", "mirror"], "mirror"),
        (&["agent", "--config", "/nowhere/agent.json"], "/nowhere/agent.json"),
        (&["nodes", "--kubeconfig", "/nowhere/config"], "/nowhere/config"),
        (&["nodes", "-o", "junit"], "junit"),
        (&["nodes", "--wait", "--timeout", "0"], "0"),
        (&["nodes", "--watch", "-o", "jsonpath={.a"], "{.a"),
        (&["nodes", "--sort-by", ".a["], "--sort-by"),
        (&["nodes", "--watch", "--sort-by", "{}"], "--sort-by"),
        (&["fits"], "--filename"),
        (&["fits", "-f", "/nowhere/pod.yaml"], "/nowhere/pod.yaml"),
        (&["fits", "-f", "Cargo.toml"], "Cargo.toml"),
        (&["fits", "--hugepages-1Gi", "1500Mi"], "1500Mi"),
        (&["fits", "--hugepages-1Gi", "0"], "requests no huge pages"),
        (&["fits", "-f", "-", "--hugepages-1Gi", "1Gi"], "--hugepages-1Gi"),
        (&["node", "a/b"], "a/b"),
        (&["why", "deployment/dpdk"], "deployment"),
        (&["why", "pod/../nodes"], "../nodes"),
        (&["cleanup"], "--all-nodes"),
        (&["explain", "HP999"], "HP999"),
        (&["explode"], "explode"),
        (&["check", "everything"], "everything"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let message = text(&output.stderr);
        assert!(message.contains(thing), "{arguments:?}: {message}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_api_server_that_does_not_answer_exits_3_and_says_what_was_tried() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    // Nobody listens on port 1.
    let text_of_config = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}"#;
    std::fs::write(&config, text_of_config).unwrap();
    for (arguments, tried) in [
        (&["nodes", "--kubeconfig"][..], "cannot list nodes: "),
        (&["fits", "--hugepages-1Gi", "1Gi", "--kubeconfig"], "cannot list nodes: "),
        (&["node", "worker", "--kubeconfig"], "cannot get nodes worker: "),
        (&["why", "pod/dpdk", "--kubeconfig"], "cannot get pods dpdk: "),
        (&["cleanup", "--all-nodes", "--kubeconfig"], "cannot list pods: "),
    ] {
        let output = hugeprobe().args(arguments).arg(&config).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        let message = text(&output.stderr);
        assert!(message.contains(tried) && message.contains("refused"), "{arguments:?}: {message}");
    }
}

#[test]
fn reserve_without_root_exits_2() {
    if nix::unistd::geteuid().is_root() {
        // Root drops to somebody else by itself: the rule is about the one who runs it.
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_hugeprobe")])
            .args(["check", "--reserve", "2Mi=1"])
            .output()
            .unwrap();
        assert_reserve_refused(&output);
    } else {
        assert_reserve_refused(&run(&["check", "--reserve", "2Mi=1"]));
    }
}

fn assert_reserve_refused(output: &Output) {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("--reserve"), "{output:?}");
}

#[test]
fn a_captured_tree_is_never_a_pass() {
    let output = run(&["check", "--root", TREE, "-o", "json"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"], "unknown");
    assert_eq!(report["pools"][0]["size"], "1Gi");
    assert_eq!(report["pools"][0]["total"], 32);
}

#[test]
fn an_expectation_that_a_captured_tree_does_not_meet_fails() {
    let output = run(&["check", "--root", TREE, "--expect", "1Gi@numa1>=17", "-o", "short"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stdout).contains("HP103"), "{output:?}");
    let output = run(&["check", "--root", TREE, "--expect", "1Gi@numa1>=16", "--only", "HP103"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn the_metadata_file_of_a_claim_names_the_socket_of_the_peer() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("vhost.example.com-metadata.json");
    let file = file.to_str().unwrap();
    let check = || run(&["check", "--peer", file, "--only", "HP612", "-o", "json"]);
    let object = |version: &str, attributes: &str| {
        format!(
            r#"{{"kind": "DeviceMetadata", "apiVersion": "metadata.resource.k8s.io/{version}", "podClaimName": "vhost",
                "requests": [{{"name": "port", "devices": [{{"driver": "d", "attributes": {{{attributes}}}}}]}}]}}"#
        )
    };
    let path = r#""vhost-user-path": {"string": "/run/vhost-user/s"}"#;
    for (content, why) in [
        (None, "ENOENT"),
        (Some(String::new()), "no DeviceMetadata of a known version"),
        (Some("{".to_owned()), "not a device metadata file"),
        (Some(object("v7", path)), "no DeviceMetadata of a known version"),
        (Some(object("v1beta1", "")), "no device has the attribute vhost-user-path"),
        (Some(" ".repeat(2 << 20)), "larger than 1048576 bytes"),
    ] {
        if let Some(content) = &content {
            std::fs::write(file, content).unwrap();
        }
        let output = check();
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{why}: {message}");
        assert!(
            message.contains("--peer") && message.contains(file) && message.contains(why),
            "{why}: {message}"
        );
    }
    std::fs::write(file, [object("v7", ""), object("v1beta1", path), object("v1alpha1", "")].join("\n"))
        .unwrap();
    let output = check();
    let report = text(&output.stdout);
    assert!(report.contains(" /run/vhost-user/s"), "{report}{}", text(&output.stderr));
}

#[test]
fn an_empty_tree_has_nothing_to_check() {
    let tree = tempfile::tempdir().unwrap();
    let tree = tree.path().to_str().unwrap();
    let output = run(&["check", "--root", tree]);
    assert_eq!(output.status.code(), Some(3), "limits that cannot be read are not absent: {output:?}");
    let output = run(&["check", "--root", tree, "--expect", "1Gi>=1", "-o", "short"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stdout).contains("HP101"), "{output:?}");
}

/// Whoever reads may stop: the verdict's exit code stands and nothing is said about a broken pipe.
#[test]
fn output_closed_early_changes_nothing() {
    for form in ["table", "short", "json", "junit"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = hugeprobe()
            .args(["check", "--root", TREE, "-o", form])
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .unwrap();
        assert_eq!(output.status.code(), Some(3), "{form}: {output:?}");
        assert!(output.stderr.is_empty(), "{form}: {output:?}");
    }
}

#[test]
fn a_full_disk_is_no_verdict() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output =
        hugeprobe().args(["check", "--root", TREE]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("standard output"), "{output:?}");
}

#[test]
fn no_home_no_terminal_and_an_odd_locale_do_not_matter() {
    for (name, value) in
        [("LC_ALL", "C"), ("LC_ALL", "tlh_KX.\u{fffd}"), ("TERM", "dumb"), ("COLUMNS", "1"), ("COLUMNS", "x")]
    {
        let output =
            hugeprobe().env_clear().env(name, value).args(["check", "--root", TREE]).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{name}={value}: {output:?}");
        assert!(!output.stdout.contains(&0x1b), "{name}={value}");
    }
    let output = hugeprobe().env_clear().env("LC_ALL", "C").args(["check", "--root", TREE]).output().unwrap();
    assert!(output.stdout.is_ascii(), "{}", text(&output.stdout));
}

#[test]
fn closed_standard_streams_do_not_matter() {
    let script = format!("exec \"$0\" check --root '{TREE}' -o short <&- >&- 2>&-");
    let status = Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_hugeprobe")]).status().unwrap();
    assert_eq!(status.code(), Some(3));
}

/// A bug report needs more than the version number; `-V` is for scripts. `.ci/image` compares the commit with the clone's.
#[test]
fn version_names_commit_target_and_features() {
    let short = format!("hugeprobe {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&run(&["-V"]).stdout), format!("{short}\n"));
    let all = [
        (cfg!(feature = "cluster"), "cluster"),
        (cfg!(feature = "kubectl"), "kubectl"),
        (cfg!(feature = "support"), "support"),
    ];
    let enabled: Vec<_> =
        all.into_iter().filter(|(is_enabled, _)| *is_enabled).map(|(_, name)| name).collect();
    let features = if enabled.is_empty() { "none".to_owned() } else { enabled.join(" ") };
    for arguments in [&["--version"][..], &["check", "--version"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let line = text(&output.stdout);
        let line = line.strip_suffix('\n').unwrap();
        assert_eq!(line.lines().count(), 1, "{line}");
        let (name, rest) = line.split_once(" (commit ").unwrap();
        assert!(name.ends_with(env!("CARGO_PKG_VERSION")), "{line}");
        let parts: Vec<&str> = rest.strip_suffix(')').unwrap().splitn(3, ", ").collect();
        let target = parts[1];
        assert!(target.starts_with(std::env::consts::ARCH) && target.contains("linux"), "{line}");
        assert_eq!(parts[2], format!("features: {features}"), "{line}");
        let is_id = parts[0].len() == 12 && parts[0].bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_id || parts[0] == "unknown", "{line}");
    }
}

#[test]
fn the_schema_is_printed_and_describes_the_report() {
    let output = run(&["schema"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/report.schema.json");
    assert_eq!(text(&output.stdout), std::fs::read_to_string(file).unwrap());
    let schema = serde_json::from_slice(&output.stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut report: serde_json::Value =
        serde_json::from_slice(&run(&["check", "--root", TREE, "-o", "json"]).stdout).unwrap();
    assert!(validator.is_valid(&report));
    report["verdict"] = "good".into();
    assert!(!validator.is_valid(&report));
}

#[test]
fn a_caller_that_ignores_sigchld_still_gets_a_verdict() {
    // What is ignored stays ignored across execve, and the kernel then reaps children itself: waitpid answers ECHILD.
    let script = "trap '' CHLD; exec timeout --kill-after=1 20 \"$0\" check --only HP407 -o short";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_hugeprobe")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let code = output.status.code();
    assert!(code.is_some_and(|code| code < 4), "{code:?}: {}", text(&output.stderr));
    assert!(text(&output.stdout).contains("HP407"), "{}", text(&output.stdout));
}
