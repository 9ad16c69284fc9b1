//! kwok: what it does with Nodes and pods (kwok/stages.yaml), and the processes whose CPU time the table shows.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use hugeprobe::domain::compact::Container;
use serde_json::json;

use super::kubelet::{Fate, status};
use super::stage::BOOT;

/// Stands for the uid of a probe pod in a termination message. It is replaced by kwok's expression for it.
const UID: &str = "uid-of-the-pod";

/// kwok, as long as this exists.
pub(crate) struct Kwok(Child);

/// Starts kwok in the current directory, with the credentials of `admin.conf`.
pub(crate) fn start() -> Kwok {
    let mut stages = include_str!("kwok/stages.yaml").replace("BOOT", BOOT);
    for (container, text) in [Container::Frontend, Container::Backend].into_iter().zip(messages()) {
        stages = stages.replace(&container.to_string().to_uppercase(), &text);
    }
    fs::write("kwok.yaml", stages).unwrap();
    let log = File::create("kwok.log").unwrap();
    let child = Command::new(std::env::var("KWOK").unwrap())
        .args(["--config", "kwok.yaml", "--kubeconfig", "admin.conf"])
        .env("HOME", std::env::current_dir().unwrap())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    Kwok(child)
}

/// The termination messages of the two containers of a probe that passes. Both depend on the pod's arguments, which are the same
/// on all Nodes, and on its uid.
fn messages() -> [String; 2] {
    let arguments = json!(["--size", "2Mi", "--pages", "1"]);
    let pod = json!({"metadata": {"uid": UID}, "spec": {"containers": [{"args": arguments}]}});
    let status = status(Fate::Pass, &pod);
    [0, 1].map(|side| {
        let text = status["containerStatuses"][side]["state"]["terminated"]["message"].as_str().unwrap();
        text.replace(UID, "{{ .metadata.uid }}")
    })
}

/// The process id of kube-apiserver.
pub(crate) fn api_server() -> u32 {
    fs::read_to_string("apiserver.pid").unwrap().trim().parse().unwrap()
}

/// The CPU time of a process so far, in seconds.
fn cpu_seconds(pid: u32) -> f64 {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return 0.0 };
    // The name in parentheses may contain spaces. User and system time are the 14th and 15th fields.
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    // USER_HZ is 100 on every architecture that Linux has today.
    fields.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

// === impl Kwok ===

impl Kwok {
    /// The CPU time of kwok and of the API server so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> [f64; 2] {
        [self.0.id(), api_server()].map(cpu_seconds)
    }
}

impl Drop for Kwok {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
