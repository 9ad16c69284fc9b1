//! The text below the options in the long help of each verb: exit codes and examples, at most 80 columns wide.

pub(super) const AFTER_CHECK: &str = "\
Exit codes:
  0  pass, warnings included (but see --fail-on)
  1  fail, or nothing found to check
  2  usage error
  3  inconclusive

Examples:
  Check every pool of this machine:
    hugeprobe check
  Can a workload get 512 pages of NUMA node 0 now?
    hugeprobe check --need 2Mi=512@numa0
  Is the pool as large as expected? For scripts:
    hugeprobe check --expect '1Gi@numa1>=4' -o json
  Use files of that mount, as DPDK does with --huge-dir:
    hugeprobe check --dir /dev/hugepages
  Does this vswitch, which listens on the socket, accept pages?
    hugeprobe check --peer /run/openvswitch/vhu0
  The same for a port of type dpdkvhostuserclient:
    hugeprobe check --peer /run/vhu1 --peer-listen
  Add 16 pages for the duration of the run:
    sudo hugeprobe check --reserve 2Mi=16";

#[cfg(feature = "support")]
pub(super) const AFTER_BUNDLE: &str = "\
The file is a tar archive with what `check --root` reads of /proc, /sys and the
cgroups, and the report as JSON and as a page. Names of hosts and users, UUIDs,
ids of containers and addresses are replaced; docs/reference/bundle.md lists
what is in it. Read it before you pass it on.

Exit codes:
  0  the file was written, whatever the verdict
  2  usage error, or the file exists
  3  the check could not run, or the file could not be written

Examples:
  Write hugeprobe-bundle.tar, and look at what is in it:
    sudo hugeprobe bundle
    tar xf hugeprobe-bundle.tar && grep -r . hugeprobe-bundle
  The failure of one workload:
    sudo hugeprobe bundle --need 1Gi=4@numa0 --dir /dev/hugepages -o site-7.tar
  Judge it on another machine, with the same options except --dir:
    hugeprobe check --root site-7.tar --need 1Gi=4@numa0";

#[cfg(not(feature = "support"))]
pub(super) const AFTER_EXPLAIN: &str = "\
Exit codes:
  0  the check was explained
  2  unknown check

Examples:
  hugeprobe explain HP401";

#[cfg(feature = "support")]
pub(super) const AFTER_EXPLAIN: &str = "\
Exit codes:
  0  the check was explained, or a line of the log was recognized
  2  unknown check, or the file cannot be read
  3  no line of the log was recognized

Examples:
  hugeprobe explain HP401
  dmesg | hugeprobe explain --log -
  hugeprobe explain --log /var/log/openvswitch/ovs-vswitchd.log";

pub(super) const AFTER_FRONTEND: &str = "\
Exit codes:
  0  every frame came back exactly once and unchanged
     (with --peer sink: was accepted)
  1  not a vhost-user backend, request refused, protocol broken, or frames
     missing or altered
  2  usage error
  3  inconclusive: no pages, no peer, or interrupted

Examples:
  With `hugeprobe backend --socket /run/vhost`:
    hugeprobe frontend --socket /run/vhost --listen
  The same with files of a mount:
    hugeprobe frontend --socket /run/vhost --listen --dir /dev/hugepages
  With testpmd, which listens:
    dpdk-testpmd -l 0-1 --no-pci -m 16 --in-memory --single-file-segments \\
      --vdev net_vhost0,iface=/run/vhost -- --total-num-mbufs=2048 \\
      --no-flush-rx --forward-mode=io --auto-start --stats-period 1
    hugeprobe frontend --socket /run/vhost";

pub(super) const AFTER_BACKEND: &str = "\
Exit codes:
  0  the number of frames of --frames; without it, at least one before the
     frontend closed the connection or the deadline passed
  1  protocol broken, memory not of huge pages of the size, or frames missing
     or altered
  2  usage error
  3  inconclusive: no peer, no frame, or interrupted

Examples:
  With `hugeprobe frontend --socket /run/vhost --listen`:
    hugeprobe backend --socket /run/vhost
  With testpmd, which connects:
    hugeprobe backend --socket /run/vhost --listen --mode sink --frames 1000000
    dpdk-testpmd -l 0-1 --no-pci -m 16 --in-memory --single-file-segments \\
      --vdev net_virtio_user0,path=/run/vhost -- --total-num-mbufs=2048 \\
      --forward-mode=txonly --auto-start --stats-period 1";

#[cfg(feature = "cluster")]
pub(super) const AFTER_NODES: &str = "\
Exit codes, for the worst verdict of the nodes:
  0  pass, warnings included
  1  fail, or no node matches, or none has huge pages
  2  usage error
  3  inconclusive: no verdict, a stale one, or the API server does not answer

Examples:
  Show the whole cluster:
    hugeprobe nodes
  Show how many nodes have each cause:
    hugeprobe nodes --by-cause
  Show the nodes that do not pass:
    hugeprobe nodes --failing
  Wait until all have a verdict, as in a pipeline:
    hugeprobe nodes -l pool=nfv --wait
  The same program under the name kubectl-hugeprobe:
    kubectl hugeprobe -l pool=nfv -o json";

#[cfg(feature = "kubectl")]
pub(super) const AFTER_FITS: &str = "\
The first reason is shown for each node, in this order: scheduler (cordon,
taints, node selector, required node affinity, allocatable pages less the
requests of other pods), pages (those of the pool, with --same-numa of one NUMA
node), verdict, staleness. What is unknown is never a fit. The pod is counted
in addition to the pods that run already. CPU, memory, other resources, affinity
to pods, topology spread and volumes are not compared.

Exit codes:
  0  the pod fits on at least one node
  1  it fits on none, or no node matches
  2  usage error, or the file does not describe one pod
  3  inconclusive: it fits on no node for certain, or the API server does not
     answer

Examples:
  On which nodes does the pod of a manifest fit?
    hugeprobe fits -f deployment.yaml
  A pod with 4 pages of 1Gi, all of one NUMA node:
    hugeprobe fits --hugepages-1Gi 4Gi --same-numa
  A virtual machine that exists already:
    kubectl get vm vnf -o yaml | kubectl hugeprobe fits -f -
  The names of the nodes, for scripts:
    kubectl hugeprobe fits --hugepages-2Mi 64Mi -o name";

#[cfg(feature = "kubectl")]
pub(super) const AFTER_WHY: &str = "\
The messages are those of the pod's status, of its containers and their last
termination, and of its warning events. `hugeprobe explain --log` recognizes
the same failures in any log. A pod that is bound to no node is compared with
all nodes, as `hugeprobe fits` does.

Exit codes:
  0  a cause is known, or all containers are ready
  2  usage error, or the pod does not exist
  3  no cause is known, or the API server does not answer

Examples:
  hugeprobe why pod/dpdk-0
  kubectl hugeprobe why pod/dpdk-0 -n nfv";

#[cfg(feature = "kubectl")]
pub(super) const AFTER_NODE: &str = "\
Exit codes, for the verdict of the node:
  0  pass, warnings included
  1  fail, or it has no huge pages
  2  usage error, or the node does not exist
  3  inconclusive: no verdict, a stale one, or the API server does not answer

Examples:
  hugeprobe node worker-3
  kubectl hugeprobe node worker-3 --context staging";

#[cfg(feature = "kubectl")]
pub(super) const AFTER_WHO: &str = "\
The pods are those that are bound to the node and have not ended, with the pages
that they request. What is in use is read from the agent's metrics through the
API server. No API shows which process holds which page: `hugeprobe check --only
HP105` on the node does.

Exit codes:
  0  the answer is shown; what could not be read is named in it
  2  usage error, or the node does not exist
  3  the API server does not answer

Examples:
  hugeprobe who worker-3
  kubectl hugeprobe who worker-3 --context staging";

#[cfg(feature = "kubectl")]
pub(super) const AFTER_RECHECK: &str = "\
Writes the annotation hugeprobe.io/recheck with the time. The agent starts a
probe of each page size at once, at most 12 times an hour. The verdict stays
until the probes have ended; `hugeprobe node` shows whether they have.

Exit codes:
  0  the agents were asked; with --wait: every verdict is pass or warn
  1  with --wait: the verdict of a node is fail, or it has no huge pages
  2  usage error, or the node does not exist
  3  an agent could not be asked; with --wait: a verdict is unknown, or an
     agent has not answered

Examples:
  After the pool of a node was repaired:
    hugeprobe recheck worker-3 --wait
  All nodes of a pool:
    kubectl hugeprobe recheck -l pool=nfv --wait --timeout 15m";
