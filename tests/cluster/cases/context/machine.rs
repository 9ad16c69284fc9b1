//! An emulated machine with two NUMA nodes that is a second node of the cluster: tests/cluster/machine.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::{NAMESPACE, WORKLOADS, kubectl, left, script, wait};

/// Its Node, as tests/cluster/machine/start names it.
pub(crate) const NAME: &str = "node-n";

/// How a machine boots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Boot {
    /// The pages of 2Mi of the two NUMA nodes, before the kubelet starts.
    pub(crate) pages: [u32; 2],
    /// The options with which cgroup2 is mounted.
    pub(crate) cgroup: &'static str,
    /// The pages of 1Gi of the second NUMA node, which has as much more memory.
    pub(crate) gigantic: u32,
}

/// A running machine. It ends with this process at the latest.
#[derive(Debug)]
pub(crate) struct Machine {
    boot: Boot,
    qemu: Qemu,
    /// Its disk, and what its kernel wrote.
    directory: tempfile::TempDir,
}

/// The process of a machine, and its second serial line.
#[derive(Debug)]
struct Qemu {
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

/// What a command of a machine printed.
#[derive(Debug)]
pub(crate) struct Output {
    /// Standard output and standard error.
    pub(crate) text: String,
    /// Its exit code.
    pub(crate) code: i32,
}

/// An emulated kernel that starts on a busy machine may lose its timer and hang: one that has not come to its first process
/// after this time is booted again.
const UP: Duration = Duration::from_secs(300);
const BOOTS: u32 = 3;
/// The time from there until the kubelet is started, and the time of a command.
const COMMAND: Duration = Duration::from_secs(600);
/// The time for what takes seconds on a real machine, in seconds.
pub(crate) const PATIENCE: u64 = 900;

/// Returns whether the cases about a machine are to run. `make numa` sets this.
pub(crate) fn is_wanted() -> bool {
    std::env::var_os("HUGEPROBE_NUMA").is_some_and(|value| value == "1")
}

// === impl Machine ===

impl Machine {
    /// Deletes the Node of an earlier machine, and its pods with it: nothing waits for them then.
    pub(crate) fn forget() {
        kubectl::must(&["delete", "node", NAME, "--ignore-not-found"]);
        let of_it = format!("--field-selector=spec.nodeName={NAME}");
        let now = ["--grace-period=0", "--force", "--ignore-not-found", of_it.as_str()];
        for namespace in [NAMESPACE, WORKLOADS] {
            kubectl::must(&[&["delete", "pods", "--namespace", namespace], &now[..]].concat());
        }
    }

    /// How it booted, with the pages that it has now.
    pub(crate) const fn boot(&self) -> Boot {
        self.boot
    }

    /// Boots a machine with a new disk, and waits until its Node is Ready.
    pub(crate) fn join(boot: Boot) -> Self {
        let directory = tempfile::tempdir_in(left("state")).unwrap();
        let disk = directory.path().join("disk");
        let copy =
            Command::new("cp").arg("--sparse=always").args([left("machine/disk"), disk]).status().unwrap();
        assert!(copy.success(), "the disk cannot be copied: {copy}");
        let qemu = Qemu::boot(boot, directory.path());
        let machine = Self { boot, qemu, directory };
        machine.is_ready();
        machine
    }

    /// Reboots it from its disk. Returns as soon as its kubelet has been started.
    pub(crate) fn reboot(&mut self) {
        self.must("sync");
        self.qemu.send("reboot", "reboot -f");
        wait::until("the machine is off", 60, || match self.qemu.process.try_wait().unwrap() {
            Some(_) => Ok(()),
            None => Err("QEMU runs"),
        });
        self.qemu = Qemu::boot(self.boot, self.directory.path());
    }

    /// Waits until its Node is Ready, and offers the pages that it has.
    pub(crate) fn is_ready(&self) {
        let pages = self.boot.pages.iter().sum::<u32>();
        let offered = if pages == 0 { "0".to_owned() } else { format!("{}Mi", 2 * pages) };
        wait::until(&format!("{NAME} is Ready and offers {offered} of 2Mi"), PATIENCE, || {
            let node = kubectl::get(&["node", NAME]).unwrap_or_default();
            let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
            let allocatable = node["status"]["allocatable"]["hugepages-2Mi"].as_str().unwrap_or_default();
            if ready && allocatable == offered { Ok(()) } else { Err(node["status"].clone()) }
        });
    }

    /// Changes the pages of 2Mi of the two NUMA nodes, under a kubelet that starts anew.
    pub(crate) fn repool(&mut self, pages: [u32; 2]) {
        let [first, second] = pages;
        self.must(&format!("kubelet stop; pool 0 {first}; pool 1 {second}; kubelet start"));
        self.boot.pages = pages;
        self.is_ready();
    }

    /// Runs a command line of its shell.
    pub(crate) fn run(&mut self, command: &str) -> Output {
        self.qemu.send("command", command);
        assert!(self.qemu.comes_to("@@begin command", COMMAND), "no answer to: {command}");
        let mut text = Vec::new();
        loop {
            let line = self.qemu.lines.recv_timeout(COMMAND).unwrap();
            if let Some(code) = line.strip_prefix("@@end ") {
                return Output { text: text.join("\n"), code: code.parse().unwrap() };
            }
            text.push(line);
        }
    }

    /// Runs a command line that must succeed, and returns what it printed.
    pub(crate) fn must(&mut self, command: &str) -> String {
        let Output { text, code } = self.run(command);
        assert_eq!(code, 0, "{command}: {text}");
        text
    }
}

// === impl Qemu ===

impl Qemu {
    fn boot(boot: Boot, directory: &Path) -> Self {
        let console = directory.join("console");
        for _ in 0..BOOTS {
            let mut qemu = Self::start(boot, directory);
            let begin = Instant::now();
            if qemu.comes_to("@@up", UP) {
                let words = || std::fs::read_to_string(&console).unwrap_or_default();
                assert!(qemu.comes_to("@@ready", COMMAND), "containerd did not start: {}", words());
                println!("    the kubelet starts {:.1} s after the boot", begin.elapsed().as_secs_f64());
                return qemu;
            }
        }
        let words = std::fs::read_to_string(&console).unwrap_or_default();
        panic!("the machine did not come to its first process in {BOOTS} boots: {words}")
    }

    fn start(boot: Boot, directory: &Path) -> Self {
        let [first, second] = boot.pages;
        let mut process = script("machine/start")
            .args([directory.join("disk"), directory.join("console")])
            .env("PAGES", format!("{first} {second}"))
            .env("CGROUP", boot.cgroup)
            .env("GIGANTIC", boot.gigantic.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        // It ends with the machine, or with the receiver.
        std::thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { process, input, lines }
    }

    fn send(&mut self, name: &str, command: &str) {
        writeln!(self.input, "{name} {command}").unwrap();
    }

    /// Reads lines up to this one. `false` if it does not come in time, or the machine ends before.
    fn comes_to(&mut self, wanted: &str, limit: Duration) -> bool {
        let begin = Instant::now();
        while let Ok(line) = self.lines.recv_timeout(limit.saturating_sub(begin.elapsed())) {
            if line == wanted {
                return true;
            }
        }
        false
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
