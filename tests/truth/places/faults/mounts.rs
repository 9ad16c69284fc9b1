//! The hugetlbfs of the workload: its options, its owner, and what is mounted at its path.

use hugeprobe::domain::catalogue::{HP301, HP302, HP303, HP304, HP305, HP306};

use super::super::fault::{
    ANY_TESTPMD_DIR, ANY_TESTPMD_MEMFD, DIR, LEGACY, OVS, Spec, applied, pages, planned,
};
use super::super::plan::Mount;
use crate::context::Missing;
use crate::scene::Scene;
use crate::workload::Kind;

pub(super) const SPECS: &[Spec] = &[
    planned("mount options", "size", |plan, relative| {
        let bytes = pages(plan.need(), relative) * plan.page;
        plan.options.push(format!("size={bytes}"));
    })
    .kinds(DIR)
    .harmless(&["+0", "+1"])
    .harmful(&["-1", "half", "0"])
    .causes(&[HP303]),
    planned("mount options", "min_size", |plan, relative| {
        let bytes = pages(plan.need(), relative) * plan.page;
        plan.options.push(format!("min_size={bytes}"));
    })
    .kinds(&[Kind::TestpmdDir, Kind::TestpmdDirPages, Kind::QemuDir])
    .harmless(&["+0", "-1", "half"]),
    // DPDK leaves out the pages that the mount keeps for it.
    planned("mount options", "min_size-legacy", |plan, relative| {
        let bytes = pages(plan.need(), relative) * plan.page;
        plan.options.push(format!("min_size={bytes}"));
    })
    .kinds(LEGACY)
    .harmless(&["half"])
    .harmful(&["+0", "-1"])
    .causes(&[HP303]),
    // The root directory of the mount uses one of them.
    planned("mount options", "nr_inodes", |plan, number| plan.options.push(format!("nr_inodes={number}")))
        .kinds(DIR)
        .harmless(&["17", "1024"])
        .harmful(&["1"])
        .causes(&[HP304]),
    planned("mount options", "flags", |plan, flags| plan.options.push(flags.to_owned()))
        .kinds(DIR)
        .harmless(&["noexec", "nosuid,nodev", "noatime"])
        .harmful(&["ro"])
        .causes(&[HP302]),
    planned("mount mode", "mode", |plan, mode| plan.options.push(format!("mode={mode}")))
        .kinds(DIR)
        .harmless(&["1777", "0700", "0333", "0000"])
        // With a user who has no right to override the mode.
        .causes(&[HP302]),
    planned("mount owner", "owner", |plan, owner| {
        plan.options.extend(owner.split(':').zip(["uid", "gid"]).map(|(id, name)| format!("{name}={id}")));
    })
    .kinds(DIR)
    .harmless(&["0:65534", "65534:0", "65534:65534"])
    .causes(&[HP302]),
    planned("mount", "mounted", |plan, what| {
        plan.mount = match what {
            "other-size" => Mount::OtherSize,
            "tmpfs" => Mount::Tmpfs,
            "no" => Mount::Nothing,
            "on-tmpfs" => Mount::OnTmpfs,
            "twice" => Mount::Twice,
            "under-tmpfs" => Mount::UnderTmpfs,
            "bound" => Mount::Bind,
            "in-namespace" => Mount::Namespace,
            other => panic!("unknown mount {other}"),
        }
    })
    .kinds(DIR)
    .harmless(&["on-tmpfs", "twice", "bound", "in-namespace"])
    .harmful(&["other-size", "tmpfs", "no", "under-tmpfs"])
    .causes(&[HP301, HP305]),
    // A hugetlbfs that the workload finds in /proc/mounts and has no need of.
    applied("mount elsewhere", "elsewhere", unused)
        .kinds(ANY_TESTPMD_MEMFD)
        .harmless(&["0755", "0700", "0711"])
        .harmful(&["hidden", "space"])
        .causes(&[HP306]),
    applied("mount elsewhere", "elsewhere-ovs", unused)
        .kinds(OVS)
        .harmless(&["0755", "0700"])
        .harmful(&["hidden", "space"])
        .causes(&[HP306]),
    // How the path is written in the workload's arguments. DPDK looks for it in /proc/mounts.
    applied("path", "path", write_path)
        .kinds(DIR)
        .harmless(&["slash", "dot", "sub-directory"])
        .causes(&[HP301]),
    applied("path", "path-dpdk", write_path)
        .kinds(ANY_TESTPMD_DIR)
        .harmful(&["symlink", "double-slash"])
        .causes(&[HP301]),
    applied("path", "path-qemu", write_path).kinds(&[Kind::QemuDir]).harmless(&["symlink", "double-slash"]),
];

fn unused(scene: &mut Scene, how: &str) -> Result<(), Missing> {
    let below = scene.run.with_file_name("unused");
    let there = below.join(if how == "space" { "a b" } else { "a" });
    std::fs::create_dir_all(&there).unwrap();
    let (below, there) = (below.display().to_string(), there.display().to_string());
    let mode = if how.starts_with('0') { how } else { "0755" };
    scene.sh(&format!("mount -t hugetlbfs -o pagesize={},mode={mode} none '{there}'", scene.size.bytes()));
    scene.at_last(&format!("umount '{there}'"));
    if how == "hidden" {
        scene.sh(&format!("mount -t tmpfs none '{below}'"));
        scene.at_last(&format!("umount '{below}'"));
    }
    Ok(())
}

fn write_path(scene: &mut Scene, how: &str) -> Result<(), Missing> {
    let huge = scene.huge.clone();
    scene.huge = match how {
        "slash" => huge.join(""),
        "double-slash" => format!("/{}", huge.display()).into(),
        "dot" => format!("{}/.", huge.display()).into(),
        "sub-directory" => huge.join("sub"),
        "symlink" => huge.with_file_name("link"),
        other => panic!("unknown path {other}"),
    };
    match how {
        "sub-directory" => {
            // In the file system that is mounted there, if a directory can be created in it.
            let _ = std::fs::create_dir(&scene.huge);
        }
        "symlink" => std::os::unix::fs::symlink(&huge, &scene.huge).unwrap(),
        _ => {}
    }
    Ok(())
}
