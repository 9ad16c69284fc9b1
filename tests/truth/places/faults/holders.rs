//! Holders of pages other than the workload. `spare:N` also adds N pages to the pool, so that enough are left. `all` is
//! as many pages as the workload needs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hugeprobe::domain::catalogue::{HP102, HP105};

use super::super::fault::{Spec, planned};
use super::super::plan::Plan;
use crate::context::child::How;
use crate::context::pools;
use crate::place::Place;
use crate::process::{Process, Waited};
use crate::scene::Scene;

/// A fault in which something holds a number of pages.
macro_rules! held {
    ($name:literal, $hold:expr) => {
        planned("holders", $name, spare)
            .harmless(&["spare:1", "spare:8"])
            .harmful(&["1", "all"])
            .causes(&[HP102, HP105])
            .apply(|scene, value| {
                let hold: fn(&mut Scene, u64) = $hold;
                // If the pool has fewer available pages, hold those.
                let pages = number(scene.need(), value).min(pools::available(scene.size));
                if pages > 0 {
                    hold(scene, pages);
                }
                Ok(())
            })
    };
}

pub(super) const SPECS: &[Spec] = &[
    held!("process", |scene, pages| scene.hold(pages, How::Touched)),
    held!("reserved", |scene, pages| scene.hold(pages, How::Reserved)),
    held!("leaked-file", |scene, pages| {
        let there = elsewhere(scene, "leaked", "");
        scene.sh(&format!("fallocate -l {} '{there}/ram.img'", scene.bytes(pages)));
    }),
    held!("deleted-file", |scene, pages| deleted(scene, &Place::default(), "deleted", pages)),
    held!("sysv", sysv),
    held!("in-flight", |scene, pages| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let (size, pages) = (scene.size.to_string(), pages.to_string());
        holder(scene, command.args(["--as", "in-flight", &size, &pages]));
    }),
    held!("other-cgroup", |scene, pages| {
        let group = scene.cgroup("other").unwrap();
        let path = group.path().to_owned();
        scene.keep(group);
        of_group(scene, &path, pages);
    }),
    held!("min-size-elsewhere", |scene, pages| {
        let min = format!(",min_size={}", scene.bytes(pages));
        elsewhere(scene, "reserved", &min);
    }),
];

/// Starts a process in this cgroup that holds `pages` pages.
pub(in super::super) fn of_group(scene: &mut Scene, group: &Path, pages: u64) {
    let mut place = Place::default();
    place.enter(group);
    deleted(scene, &place, "group", pages);
}

fn spare(plan: &mut Plan, value: &str) {
    if value.starts_with("spare:") {
        plan.more += number(0, value);
    }
}

fn number(need: u64, value: &str) -> u64 {
    if value == "all" { need } else { value.trim_start_matches("spare:").parse().unwrap() }
}

/// Mounts a hugetlbfs other than the workload's and returns its path.
fn elsewhere(scene: &mut Scene, name: &str, options: &str) -> String {
    // Two faults of a place may mount one each.
    let mut numbered = (0..).map(|number| scene.run.with_file_name(format!("{name}{number}")));
    let there = numbered.find(|there| !there.exists()).unwrap();
    std::fs::create_dir(&there).unwrap();
    let there = there.display().to_string();
    scene.sh(&format!("mount -t hugetlbfs -o pagesize={}{options} none '{there}'", scene.size.bytes()));
    scene.at_last(&format!("umount '{there}'"));
    there
}

/// Starts a process in `place` that keeps a deleted file open.
fn deleted(scene: &mut Scene, place: &Place, name: &str, pages: u64) {
    let there = elsewhere(scene, name, "");
    let bytes = scene.bytes(pages);
    let script = format!(
        "exec 9<>'{there}/f' && fallocate -l {bytes} '{there}/f' && rm '{there}/f' && echo held && exec sleep 1000"
    );
    holder(scene, place.command("sh").args(["-c", &script]));
}

/// Creates a SysV segment that no process has attached, and writes to each of its pages.
fn sysv(scene: &mut Scene, pages: u64) {
    let bytes = scene.bytes(pages);
    // 01000 is IPC_CREAT and 04000 is SHM_HUGETLB. The first segment has the id 0.
    let script = format!(
        "my $id = shmget(0, {bytes}, 01000 | 04000 | 0600); defined $id or die $!; print \"$id\\n\"; \
         for (my $at = 0; $at < {bytes}; $at += {}) {{ shmwrite($id, 'x', $at, 1) or die $! }}",
        scene.size.bytes()
    );
    let output = Command::new("perl").args(["-e", &script]).output().unwrap();
    let id = String::from_utf8(output.stdout).unwrap();
    assert!(!id.is_empty(), "shmget: {}", String::from_utf8_lossy(&output.stderr));
    scene.at_last(&format!("ipcrm -m {}", id.trim()));
    assert!(output.status.success(), "shmwrite: {}", String::from_utf8_lossy(&output.stderr));
}

/// Starts a process and waits until it reports that it holds its pages.
fn holder(scene: &mut Scene, command: &mut Command) {
    let mut holder = Process::start(command);
    let waited = holder.wait_for(|said| said.contains("held"), Duration::from_secs(10));
    assert_eq!(waited, Waited::Printed, "{}", holder.words());
    scene.keep(holder);
}
