//! What stands below the options in the long help of a verb: exit codes, and commands to begin with.

pub(super) const AFTER_CHECK: &str = "\
Exit codes:
  0  pass, warnings included (but see --fail-on)
  1  fail, or nothing found to check
  2  what was typed cannot be done
  3  it could not be told

Examples:
  hugeprobe check                                  whatever is there
  hugeprobe check --need 2Mi=512@numa0             could a workload of 512 pages on NUMA node 0 start now?
  hugeprobe check --expect '1Gi@numa1>=4' -o json  is the pool what it should be? for a script
  hugeprobe check --dir /dev/hugepages             with files of that mount, as DPDK's --huge-dir would
  hugeprobe check --peer /run/openvswitch/vhu0     does this vswitch take such pages? (it listens there)
  hugeprobe check --peer /run/vhu1 --peer-listen   the same, for a port that connects there (dpdkvhostuserclient)
  sudo hugeprobe check --reserve 2Mi=16            add 16 pages for the run, and give them back";

pub(super) const AFTER_EXPLAIN: &str = "\
Exit codes:
  0  it was explained
  2  there is no such check, or no such file
  3  no line of the log is known

Examples:
  hugeprobe explain HP401
  dmesg | hugeprobe explain --log -
  hugeprobe explain --log /var/log/openvswitch/ovs-vswitchd.log";

pub(super) const AFTER_FRONTEND: &str = "\
Exit codes:
  0  every frame came back, once and as it was sent (with --peer sink: was taken)
  1  the backend refused, broke the protocol, or frames are missing or altered
  2  what was typed cannot be done
  3  it could not be told: no pages, nobody there, interrupted

Examples:
  hugeprobe frontend --socket /run/vhost --listen                with `hugeprobe backend --socket /run/vhost`
  hugeprobe frontend --socket /run/vhost --dir /dev/hugepages    with files of that mount
  hugeprobe frontend --socket /run/vhost                         with testpmd, which listens:
    dpdk-testpmd -l 0-1 --no-pci -m 16 --in-memory --single-file-segments --vdev net_vhost0,iface=/run/vhost \\
      -- --total-num-mbufs=2048 --no-flush-rx --forward-mode=io --auto-start --stats-period 1";

pub(super) const AFTER_BACKEND: &str = "\
Exit codes:
  0  as many frames as --frames says; without it, at least one before the frontend hung up or the time was up
  1  the frontend broke the protocol, its memory is not what it should be, or frames are missing or altered
  2  what was typed cannot be done
  3  it could not be told: nobody there, no frame, interrupted

Examples:
  hugeprobe backend --socket /run/vhost                                 with `hugeprobe frontend --listen`
  hugeprobe backend --socket /run/vhost --listen --mode sink --frames 1000000     with testpmd, which connects:
    dpdk-testpmd -l 0-1 --no-pci -m 16 --in-memory --single-file-segments --vdev net_virtio_user0,path=/run/vhost \\
      -- --total-num-mbufs=2048 --forward-mode=txonly --auto-start --stats-period 1";

#[cfg(feature = "cluster")]
pub(super) const AFTER_NODES: &str = "\
Exit codes, of the worst of the nodes:
  0  pass, warnings included
  1  fail, or no node matches, or none has huge pages
  2  what was typed cannot be done
  3  it could not be told: no verdict, a stale one, or the API server does not answer

Examples:
  hugeprobe nodes                            the whole cluster
  hugeprobe nodes -l pool=nfv --wait         until all of these are told, as in a pipeline
  kubectl hugeprobe -l pool=nfv -o json      the same program under the name kubectl-hugeprobe";
