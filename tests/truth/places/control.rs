//! Limits of cgroup controllers other than hugetlb.

use std::path::Path;

use crate::context::Missing;
use crate::context::cgroup::Controlled;
use crate::scene::Scene;

const CGROUPS: &str = "/sys/fs/cgroup";

/// The files of a controller in one group.
#[derive(Debug, Clone)]
pub(super) struct Control {
    pub(super) controller: &'static str,
    /// The name of each file on v1 and on v2, and its content.
    pub(super) files: Vec<([&'static str; 2], String)>,
}

// === impl Control ===

impl Control {
    /// Returns whether the machine has this controller on a v1 hierarchy.
    pub(super) fn is_on_v1(&self) -> bool {
        Path::new(CGROUPS).join(self.controller).join("cgroup.procs").exists()
    }

    /// Creates a group with these limits alone, which both sides and hugeprobe join.
    pub(super) fn apart(&self, scene: &mut Scene) -> Result<(), Missing> {
        let group = Controlled::new(self.controller, &format!("place-{}", self.controller))?;
        for (names, content) in &self.files {
            write(&group.path().join(names[usize::from(!self.is_on_v1())]), content);
        }
        scene.place.enter(group.path());
        scene.keep(group);
        Ok(())
    }

    /// Sets the limits in a group of the root of cgroup v2.
    pub(super) fn set(&self, group: &Path) {
        let control = group.parent().unwrap().join("cgroup.subtree_control");
        write(&control, &format!("+{}", self.controller));
        for ([_, name], content) in &self.files {
            write(&group.join(name), content);
        }
    }
}

fn write(file: &Path, content: &str) {
    std::fs::write(file, content).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}
