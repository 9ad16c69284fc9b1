//! OVS-DPDK, where it has its own settings, or starts without the pages that it was to have.

use hugeprobe::domain::catalogue::{HP101, HP102, HP401, HP402, HP404, HP405, HP409, HP410, HP509};

use super::{Row, SMALL, State, healthy};
use crate::context::Missing;
use crate::context::child::How;
use crate::places;
use crate::scene::{OvsTold, Scene};
use crate::workload::Kind;

pub(super) const ROWS: &[Row] = &[
    ovs("none", &[], healthy),
    ovs("the pool has half of what dpdk-socket-mem asks for", &[HP509], |scene| {
        scene.pool(scene.need() - 20)
    }),
    ovs("another process has reserved every free page", &[HP509], |scene| {
        healthy(scene)?;
        scene.hold(scene.need(), How::Reserved);
        Ok(())
    }),
    ovs(
        "the pool is empty, and with dpdk-init=try the vswitch starts all the same",
        &[HP101, HP102, HP509],
        |scene| {
            scene.ovs = OvsTold { init: "try", ..scene.ovs };
            scene.pool(0)
        },
    ),
    ovs("dpdk-socket-mem names a NUMA node that is not there", &[HP509], |scene| {
        scene.ovs = OvsTold { socket_mem: "0,64", ..scene.ovs };
        healthy(scene)
    }),
    ovs("the fault limit of the vswitch is half of its need", &[HP401, HP509], |scene| {
        half_of_its_need(scene, "max")
    }),
    ovs("the reservation limit of the vswitch is half of its need", &[HP402, HP509], |scene| {
        half_of_its_need(scene, "rsvd.max")
    }),
    ovs("RLIMIT_NOFILE is one less than the vswitch takes", &[HP404], |scene| {
        places::placed(scene, "nofile-ovs=90")
    }),
    ovs("pids.max is one less than both take", &[HP409], |scene| places::placed(scene, "pids-ovs=16")),
    ovs("RLIMIT_DATA has no room for the stacks of the vswitch", &[HP405], |scene| {
        places::placed(scene, "data-ovs=83886080")
    }),
    ovs("the memory limit has no room for the stacks that mlockall allocates", &[HP410], |scene| {
        places::placed(scene, "memory-ovs=134217728")
    }),
];

/// Puts the vswitch into a cgroup of its own, in which this limit is half of the pages that it needs.
fn half_of_its_need(scene: &mut Scene, limit: &str) -> Result<(), Missing> {
    healthy(scene)?;
    let group = scene.cgroup("vswitch")?;
    group.set(&scene.limit_file(limit), scene.bytes(16));
    scene.backend.place.enter(group.path());
    scene.backend.cgroup = Some(group.path().to_owned());
    scene.keep(group);
    Ok(())
}

const fn ovs(fault: &'static str, causes: &'static [super::CheckId], state: State) -> Row {
    Row { fault, kinds: &[Kind::Ovs], sizes: &[SMALL], causes, state }
}
