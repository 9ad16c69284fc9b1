//! Writes docs/internals/truth-table.md.

use std::fmt::Write as _;
use std::fs;

use crate::compare::{Compared, Relation, Standing};
use crate::context::SMALL;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/internals/truth-table.md");

const HEAD: &str = "\
# The truth table

<!-- Written by `make truth`: do not edit. -->

Each row has a fault, what the real workload did under it, the line that the workload printed, and
the verdict of `hugeprobe check` in the same place, with the need of that workload. A workload works
if it starts, both sides have pages of that size mapped, and frames arrive. If it uses pages of
another size, it fails. `warn` counts as `pass`.

| workload | command | asked with |
|---|---|---|
| testpmd, memfd | `dpdk-testpmd -l 0-1 --no-pci -m 16 --in-memory --single-file-segments --vdev net_vhost0,iface=SOCKET -- --total-num-mbufs=1025 --forward-mode=rxonly --auto-start`, and the same with `net_virtio_user0,path=SOCKET` and `txonly`; `-m 1024` for 1Gi | `--frontend-need 2Mi=8 --backend-need 2Mi=8`, of 1Gi one each |
| testpmd, --huge-dir | the same with `--huge-dir DIR` in place of `--in-memory` | and `--dir DIR` |
| QEMU, memfd | `qemu-system-x86_64 -accel tcg -icount shift=auto,sleep=off -m 16M -object memory-backend-memfd,hugetlb=on,hugetlbsize=SIZE,id=m,size=16M,prealloc=on,host-nodes=0,policy=bind -machine q35,memory-backend=m -netdev vhost-user ... -boot n`, to a `net_vhost` on ordinary pages; 1G for 1Gi | `--workload qemu --frontend-need 2Mi=8@numa0`, of 1Gi one |
| QEMU, file | the same with `memory-backend-file,mem-path=DIR,share=on` | and `--dir DIR` |
| QEMU, prealloc=off | QEMU, memfd, with `prealloc=off` | the same |
| OVS-DPDK | `ovs-vswitchd --mlockall` with `dpdk-init=true dpdk-socket-mem=64`, two `dpdkvhostuserclient` ports, and one testpmd on both | `--workload ovs --frontend-need 2Mi=8 --backend-need 2Mi=32@numa0` |
| dpdk-test | `DPDK_TEST=TEST dpdk-test -l 0-1 --no-pci -m 16 --in-memory --single-file-segments` with memory_autotest, malloc_autotest, mbuf_autotest and ring_autotest; it works if each prints `Test OK` | `--frontend-need 2Mi=8` |
| dpdk-test, --huge-dir | the same with `--huge-dir DIR` in place of `--in-memory` | and `--dir DIR` |

In rows that begin with `peer:` one side is faulty. The workload is what the real healthy side did.
The verdict is that of hugeprobe in its place: of `hugeprobe check --peer SOCKET`, or of
`hugeprobe frontend` or `backend`, which end with a sentence.

In a cluster, the Node's verdict is compared with testpmd in two containers of a pod: the cases
`truth:` of `tests/cluster`.

A row has one fault. [Random places](places.md#what-was-found) have up to four, drawn at random: 6,000
of them were compared with the same workloads.
";

/// Writes the table, with the rows of 2Mi first.
pub(crate) fn write(compared: &[Compared<'_>], standing: &Standing) {
    let mut text = HEAD.to_owned();
    let (left_out, run): (Vec<_>, Vec<_>) =
        compared.iter().partition(|one| one.relation() == Relation::LeftOut);
    writeln!(
        text,
        "\n{} rows; false passes {}, false fails {}, unknown though the workload is sure {}, exceptions {}, left out {}.\n",
        compared.len(),
        standing.false_passes,
        standing.false_fails,
        standing.untold,
        standing.excepted,
        left_out.len(),
    )
    .unwrap();
    text.push_str("| fault | size | workload | does | its own words | verdict | failing check |\n|---|---|---|---|---|---|---|\n");
    let (small, large): (Vec<_>, Vec<_>) = run.into_iter().partition(|one| one.case.size == SMALL);
    for one in small.into_iter().chain(large) {
        let outcome = one.outcome();
        let does = if outcome.works { "works" } else { "fails" };
        writeln!(
            text,
            "| {} | {} | {} | {does} | {} | {} | {} |",
            one.case.fault,
            one.case.size,
            one.case.workload,
            cell(&outcome.words),
            one.asked.verdict,
            cell(&one.asked.because.join(" "))
        )
        .unwrap();
    }
    if !left_out.is_empty() {
        text.push_str(
            "\n## Left out\n\nThe kernel of the machine that made this table had too few pages of 1Gi to give.\n\n",
        );
        for one in left_out {
            writeln!(text, "- {}, {}, {}", one.case.fault, one.case.size, one.case.workload).unwrap();
        }
    }
    fs::write(FILE, text).unwrap();
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").chars().take(160).collect()
}
