//! HP612 to HP615: the peer under test, which `--peer` names.

checks! {
    HP612 = 612 {
        reason: "PeerNotReached",
        title: "the peer can be reached and speaks vhost-user",
        why: "QEMU or virtio_user does not start if no process listens on its socket. If it waits on the socket and \
              the vswitch never connects, the guest has no link.",
        how: "with --peer only: connect, or listen and wait for the connection; then owner, features, protocol \
              features and queues. fail: no process there, no permission for the socket, a protocol other than \
              vhost-user, or no answer. unknown: another client is connected already; a vswitch gives its port to \
              the client that connects last, so hugeprobe does not interfere.",
        remedy: "name a port that no workload uses; check that the vswitch runs and that its port has exactly this \
                 path: a port of type dpdkvhostuserclient connects (use --peer-listen); one of type dpdkvhostuser, \
                 or testpmd's net_vhost, listens (omit --peer-listen)",
        per_size: true,
        mandatory: false,
    }
    HP613 = 613 {
        reason: "PeerRefusesMemory",
        title: "the peer accepts the memory table",
        why: "The vswitch maps each file that it receives, under its own limits. It refuses what it cannot map, and \
              the guest has no network although it started.",
        how: "with --peer only: send pages of this size in SET_MEM_TABLE with REPLY_ACK; they are allocated and \
              written to beforehand, so that they are charged to this process. fail: refused, connection closed, or \
              no answer. skip, which counts as unknown: the peer acknowledges nothing, and no frame was sent that \
              would prove it.",
        remedy: "search the peer's log for SET_MEM_TABLE; `hugeprobe explain --log FILE` explains it",
        per_size: true,
        mandatory: false,
    }
    HP614 = 614 {
        reason: "PeerRefusesQueues",
        title: "the peer accepts the queues",
        why: "The peer has to accept size, addresses, kick and call, or no frame ever passes.",
        how: "with --peer only: a receive queue and a transmit queue are set up, enabled and disabled; the peer \
              acknowledges every request, and GET_VRING_BASE returns the position at which each stopped. fail: \
              refused, connection closed, no answer, or another queue or position. skip, and no queue is touched: \
              the peer is not a network device, or its features do not show that it is. skip: the peer acknowledges \
              nothing, it has written to no ring, and no frame was sent.",
        remedy: "search the peer's log for SET_VRING; --peer-transmit shows more",
        per_size: true,
        mandatory: false,
    }
    HP615 = 615 {
        reason: "PeerTakesNoFrame",
        title: "the peer accepts frames",
        why: "Only a frame that the peer accepts proves that kick, rings and buffers work together.",
        how: "with --peer-transmit only: offer the given number of frames of the local experimental EtherType \
              0x88B5. pass: the peer accepted each; the result says how many came back. warn: frames of that type \
              came back altered. fail: a frame was not accepted in time, or a ring was broken. skip: \
              --peer-transmit was not given, or the peer is not known to be a network device.",
        remedy: "check that the peer forwards (testpmd: start) and that its port is up and has a queue pair",
        per_size: true,
        mandatory: false,
    }
}
