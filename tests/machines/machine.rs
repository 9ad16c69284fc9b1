//! An emulated machine: NUMA nodes that this one does not have, a kernel of choice, and a script that runs in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A machine to boot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// The Debian release that the kernel is from: a directory that `prepare` made.
    pub(crate) kernel: &'static str,
    /// The memory of each NUMA node, MiB. A node may have none.
    pub(crate) nodes: &'static [u32],
    /// The processors of each.
    pub(crate) processors: u32,
    /// A node that has no processor.
    pub(crate) without_processors: Option<usize>,
    /// What is added to the kernel's command line.
    pub(crate) boot: &'static str,
    /// Archives that `prepare` made, beside the one that every machine has.
    pub(crate) brings: &'static [&'static str],
    /// How long its script may take.
    pub(crate) deadline: Duration,
}

/// What a script's commands said, by the names that it gave them.
#[derive(Debug)]
pub(crate) struct Log(BTreeMap<String, Output>);

/// What one command said.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) out: String,
    pub(crate) errors: String,
    pub(crate) code: i32,
}

/// Emulation is slow and the machine may be busy; a kernel that hangs must not hang the tests.
const DEADLINE: Duration = Duration::from_secs(900);
/// An emulated kernel that starts on a busy machine may lose its timer and hang before the first process: one that has said
/// nothing after this time is booted again. A kernel boots in some ten seconds.
const UP: Duration = Duration::from_secs(150);
const BOOTS: u32 = 3;

// === impl Shape ===

impl Shape {
    /// A machine with NUMA nodes of one processor each, on a kernel of choice.
    pub(crate) const fn of(kernel: &'static str, nodes: &'static [u32]) -> Self {
        Self {
            kernel,
            nodes,
            processors: 1,
            without_processors: None,
            boot: "",
            brings: &[],
            deadline: DEADLINE,
        }
    }

    /// Boots it under `prepared`, runs `script` in it, and waits until it is off.
    pub(crate) fn run(self, prepared: &Path, script: &str) -> Log {
        let directory = tempfile::tempdir().unwrap();
        let initramfs = directory.path().join("initramfs.gz");
        let archives: Vec<_> =
            ["initramfs.gz"].iter().chain(self.brings).map(|name| prepared.join(name)).collect();
        pack(&archives, script, directory.path(), &initramfs);
        let console = directory.path().join("console");
        let said = self.boot(prepared, &initramfs, &console);
        let console = || std::fs::read_to_string(&console).unwrap_or_default();
        assert!(
            said.contains("@@over"),
            "{self:?} did not come to the end of:\n{script}\n{said}\n{}",
            console()
        );
        Log::parse(&said)
    }

    fn with_processors(self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(move |node| self.without_processors != Some(*node))
    }

    fn boot(self, prepared: &Path, initramfs: &Path, console: &Path) -> String {
        let mut said = String::new();
        for boot in 1..=BOOTS {
            said = self.boot_once(prepared, initramfs, console);
            if said.contains("@@up") {
                break;
            }
            eprintln!("boot {boot} of {BOOTS}: the kernel did not come to its first process");
        }
        said
    }

    fn boot_once(self, prepared: &Path, initramfs: &Path, console: &Path) -> String {
        let mut qemu = Command::new("qemu-system-x86_64");
        let total: u32 = self.nodes.iter().sum();
        qemu.args([
            "-M",
            "q35",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-nic",
            "none",
            "-display",
            "none",
        ])
        .args(["-monitor", "none", "-no-reboot", "-serial"])
        .arg(format!("file:{}", console.display()))
        .args([
            "-serial",
            "stdio",
            "-smp",
            &(self.with_processors().count() * self.processors as usize).to_string(),
            "-m",
            &format!("{total}M"),
        ]);
        for (node, memory) in self.nodes.iter().enumerate() {
            let mut numa = format!("node,nodeid={node}");
            if *memory > 0 {
                qemu.arg("-object").arg(format!("memory-backend-ram,id=m{node},size={memory}M"));
                write!(numa, ",memdev=m{node}").unwrap();
            }
            if let Some(before) = self.with_processors().position(|one| one == node) {
                let first = before * self.processors as usize;
                let last = first + self.processors as usize - 1;
                write!(numa, ",cpus={first}-{last}").unwrap();
            }
            qemu.arg("-numa").arg(numa);
        }
        qemu.arg("-kernel").arg(prepared.join(self.kernel).join("vmlinuz")).arg("-initrd").arg(initramfs);
        // Without this, the kernel tests the timer, which fails on a busy machine ("8254 timer not connected to IO-APIC").
        qemu.arg("-append").arg(format!("console=ttyS0 panic=-1 quiet no_timer_check {}", self.boot));
        let mut qemu = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = qemu.stdout.take().unwrap();
        let is_up = Arc::new(AtomicBool::new(false));
        let reader = std::thread::spawn({
            let is_up = Arc::clone(&is_up);
            move || {
                let mut said = vec![0];
                out.read_exact(&mut said)?;
                is_up.store(true, Ordering::Relaxed);
                out.read_to_end(&mut said).map(|_| String::from_utf8_lossy(&said).into_owned())
            }
        });
        let begin = Instant::now();
        while qemu.try_wait().unwrap().is_none() {
            let limit = if is_up.load(Ordering::Relaxed) { self.deadline } else { UP };
            if begin.elapsed() > limit {
                qemu.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // It said nothing at all: an end of the line where a byte was waited for.
        reader.join().unwrap().unwrap_or_default()
    }
}

/// The prepared archives with the script behind them: the kernel unpacks one after the other.
fn pack(prepared: &[PathBuf], script: &str, directory: &Path, into: &Path) {
    let scenario = directory.join("scenario");
    std::fs::write(&scenario, script).unwrap();
    let mut packed: Vec<u8> = prepared.iter().flat_map(|archive| std::fs::read(archive).unwrap()).collect();
    let archive = Command::new("sh")
        .args(["-c", "echo scenario | cpio --quiet -o -H newc | gzip -1"])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(archive.status.success(), "{}", String::from_utf8_lossy(&archive.stderr));
    packed.extend(archive.stdout);
    std::fs::write(into, packed).unwrap();
}

// === impl Log ===

impl Log {
    fn parse(text: &str) -> Self {
        let mut log = BTreeMap::new();
        let mut current: Option<(String, Output, bool)> = None;
        for line in text.lines() {
            let line = line.trim_end_matches('\r');
            if let Some(name) = line.strip_prefix("@@begin ") {
                current = Some((
                    name.to_owned(),
                    Output { out: String::new(), errors: String::new(), code: -1 },
                    false,
                ));
            } else if line == "@@errors" {
                current.as_mut().unwrap().2 = true;
            } else if let Some(code) = line.strip_prefix("@@end ") {
                let (name, mut said, _) = current.take().unwrap();
                said.code = code.parse().unwrap();
                assert!(log.insert(name.clone(), said).is_none(), "the script says {name} twice");
            } else if let Some((_, said, errors)) = &mut current {
                writeln!(if *errors { &mut said.errors } else { &mut said.out }, "{line}").unwrap();
            }
        }
        Self(log)
    }

    #[track_caller]
    pub(crate) fn said(&self, name: &str) -> &Output {
        self.0.get(name).unwrap_or_else(|| panic!("the script has no {name}: {:?}", self.0.keys()))
    }

    /// A report that was printed by `check -o json`.
    #[track_caller]
    pub(crate) fn report(&self, name: &str) -> Value {
        let said = self.said(name);
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{name}: {error}: {said:?}"))
    }

    /// Holds a report's verdict against `verdict`, and the outcomes of checks against `checks`: `("HP509", "fail")`.
    #[track_caller]
    pub(crate) fn expect(&self, name: &str, verdict: &str, checks: &[(&str, &str)]) {
        let report = self.report(name);
        let said: Vec<_> = report["checks"].as_array().unwrap().iter().collect();
        let not_good: Vec<_> = said
            .iter()
            .filter(|check| !["pass", "skip"].contains(&check["outcome"].as_str().unwrap()))
            .collect();
        assert_eq!(report["verdict"], verdict, "{name}: {not_good:#?}");
        for (id, outcome) in checks {
            let found: Vec<_> = said.iter().filter(|check| check["id"] == *id).collect();
            assert!(!found.is_empty(), "{name} says nothing of {id}");
            assert!(found.iter().any(|check| check["outcome"] == *outcome), "{name}: {id}: {found:#?}");
        }
    }
}

/// The directory that `prepare` filled, if it was told to.
pub(crate) fn prepared() -> Option<PathBuf> {
    std::env::var_os("HUGEPROBE_MACHINES").map(PathBuf::from)
}
