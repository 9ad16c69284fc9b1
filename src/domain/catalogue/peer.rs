//! HP612 to HP615: a peer under test, which `--peer` names.

checks! {
    HP612 = 612 {
        reason: "PeerNotReached",
        title: "the peer is reached and speaks vhost-user",
        why: "A QEMU or virtio_user that finds nobody at its socket does not start, and one that waits there for a switch that \
              never comes has no link.",
        how: "with --peer only: connect, or listen and be connected to; owner, features, protocol features, queues. fail: nobody \
              there, no right to the socket, something else than vhost-user, or silence. unknown: somebody is connected there already, and a vswitch gives its port to whoever \
              connects last, so it is left alone.",
        remedy: "name a port that no workload uses; look whether the vswitch runs and its port has this very path: a port of \
                 type dpdkvhostuserclient connects (use --peer-listen), one of type dpdkvhostuser, or testpmd's net_vhost, \
                 listens (leave it out)",
        per_size: true,
        mandatory: false,
    }
    HP613 = 613 {
        reason: "PeerRefusesMemory",
        title: "the peer takes the memory table",
        why: "The vswitch maps each file that it is handed, under its own limits; what it cannot map it refuses, and the guest has \
              no network though it started.",
        how: "with --peer only: pages of this size, taken and written to beforehand so that they are charged to this process, in \
              SET_MEM_TABLE with REPLY_ACK. fail: refused, hung up, or no answer. skip, which counts as unknown: the peer \
              acknowledges nothing, and no frame was sent that would prove it.",
        remedy: "look into the peer's log for SET_MEM_TABLE; `hugeprobe explain --log FILE` reads it",
        per_size: true,
        mandatory: false,
    }
    HP614 = 614 {
        reason: "PeerRefusesQueues",
        title: "the peer takes the queues",
        why: "Size, addresses, kick and call have to be understood, or no frame ever passes.",
        how: "with --peer only: a receive and a transmit queue are set up, enabled, disabled; every request is acknowledged, and \
              GET_VRING_BASE says where each stopped. fail: refused, hung up, no answer, or another queue or place. skip, \
              and no queue is touched: the peer is not a network device, or its features do not tell. skip: the peer \
              acknowledges nothing, it has written to no ring, and no frame was sent.",
        remedy: "look into the peer's log for SET_VRING; --peer-transmit shows more",
        per_size: true,
        mandatory: false,
    }
    HP615 = 615 {
        reason: "PeerTakesNoFrame",
        title: "the peer takes frames",
        why: "Only a frame that was taken proves kick, rings and buffers together.",
        how: "with --peer-transmit only: so many frames of the local experimental EtherType 0x88B5 are offered. pass: each was \
              taken; what of them came back is told. warn: frames of that type came back altered. fail: one was not taken in time, \
              or a ring was broken. skip: --peer-transmit was not given, or the peer is not known to be a network device.",
        remedy: "look whether the peer forwards (testpmd: start) and whether its port is up and has a queue pair",
        per_size: true,
        mandatory: false,
    }
}
