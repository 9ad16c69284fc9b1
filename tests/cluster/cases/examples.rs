//! The manifests of examples/, run as they are, with the images that this machine has.

use serde_json::Value;

use super::context::kubectl::Guard;
use super::context::pools::{Holder, SMALL};
use super::context::{NODE, WORKLOADS, chart, kubectl, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case("examples: the Job is Complete on a good node, and Failed on a bad one", job),
    case("examples: testpmd starts behind its preflight, and not on a bad node", testpmd_pair),
];

/// A manifest of examples/, created for as long as this lives.
struct Example {
    _made: Guard,
    _file: tempfile::NamedTempFile,
}

impl Example {
    fn create(name: &str) -> Self {
        let path = format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"));
        let image = format!("localhost/hugeprobe:{}", chart::tag());
        let text = std::fs::read_to_string(path).unwrap();
        let text = text
            .replace("ghcr.io/hugeprobe/hugeprobe:0.1.0", &image)
            .replace("dpdk-testpmd:22.11", "localhost/testpmd:1")
            .replace("NODE", NODE);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        let made = Guard::run(
            &["create", "--namespace", WORKLOADS, "-f", path],
            &[
                "delete",
                "--namespace",
                WORKLOADS,
                "--ignore-not-found",
                "--grace-period=1",
                "--timeout=60s",
                "-f",
                path,
            ],
        );
        Self { _made: made, _file: file }
    }
}

/// Logs of a container of a pod or of a Job.
fn logs(of: &[&str]) -> String {
    kubectl::run(&[["logs", "--namespace", WORKLOADS].as_slice(), of].concat()).unwrap_or_default()
}

fn job() {
    let name = format!("job/hugeprobe-check-{NODE}");
    let run = |wanted: &str| {
        let example = Example::create("preflight-job.yaml");
        wait::until(&format!("the Job is {wanted}"), 60, || {
            let job = kubectl::get(&[&name, "--namespace", WORKLOADS]).unwrap_or_default();
            let conditions = job["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let is = |condition: &Value| condition["type"] == wanted && condition["status"] == "True";
            if conditions.iter().any(is) { Ok(()) } else { Err((job["status"].clone(), logs(&[&name]))) }
        });
        let report = logs(&[&name]);
        report.lines().for_each(|line| println!("    {line}"));
        drop(example);
        report
    };
    assert!(run("Complete").contains("pass"));
    chart::at_rest();
    let holder = Holder::take(SMALL.free());
    assert!(run("Failed").contains("HP509"));
    drop(holder);
}

fn testpmd_pair() {
    let example = Example::create("testpmd-pair.yaml");
    wait::until("frames arrive", 60, || {
        let said = logs(&["testpmd-pair", "--container", "backend"]);
        let counts = said.split("RX-packets: ").skip(1);
        let most = counts.filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok()).max();
        if most.unwrap_or(0) > 0 { Ok(()) } else { Err(said) }
    });
    drop(example);
    chart::at_rest();
    let holder = Holder::take(SMALL.free());
    let example = Example::create("testpmd-pair.yaml");
    let message = wait::until("the preflight ends the pod", 60, || {
        let pod = kubectl::get(&["pod", "testpmd-pair", "--namespace", WORKLOADS]).unwrap_or_default();
        let ended = pod["status"]["initContainerStatuses"][0]["state"]["terminated"].clone();
        if ended["exitCode"] == 1 { Ok(ended["message"].clone()) } else { Err(pod["status"].clone()) }
    });
    println!("    its termination message:");
    message.as_str().unwrap_or_default().lines().for_each(|line| println!("      {line}"));
    assert!(message.to_string().contains("HP509"), "{message}");
    assert_eq!(logs(&["testpmd-pair", "--container", "backend"]), "", "testpmd was not started");
    drop(example);
    drop(holder);
}
