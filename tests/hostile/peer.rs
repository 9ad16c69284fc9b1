//! `check --peer` with peers that are not network devices, and with peers that misbehave in ways that only `check
//! --peer` can encounter.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use hugeprobe::domain::check::{CheckId, Finding, Outcome};
use hugeprobe::domain::part::WorkerOutput;
use hugeprobe::domain::peer::{PEER, Peer};
use hugeprobe::domain::size::{HugeLen, PageSize};
use hugeprobe::exchange::frontend::Memory;
use hugeprobe::exchange::message::{Request, feature, protocol};
use hugeprobe::exchange::peer::{PeerTask, run_over};
use hugeprobe::exchange::role::Source;
use hugeprobe::linux::map::Sharing;

use super::frontend::Backend;
use super::*;

/// The findings of a session.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl WorkerOutput for Findings {
    fn step(&mut self, _: CheckId, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn found(&mut self, finding: Finding) -> io::Result<()> {
        self.0.push(finding);
        Ok(())
    }
}

fn task(transmit: u64) -> PeerTask {
    PeerTask {
        size: PageSize::from_bytes(64 << 10).unwrap(),
        pages: BYTES >> 16,
        memory: Source::Memfd,
        seed: 1,
        cgroup: None,
        peer: Peer { socket: String::new(), listen: false, transmit },
    }
}

/// Runs `check --peer` with a backend that `script` plays. Returns the findings and the backend.
fn against(transmit: u64, script: impl FnOnce(&mut Backend) + Send + 'static) -> (Vec<Finding>, Backend) {
    let (theirs, ours) = UnixStream::pair().unwrap();
    let backend = std::thread::spawn(move || {
        let mut backend = Backend::new(theirs);
        script(&mut backend);
        backend
    });
    let findings = ask(transmit, ours.into());
    (findings, backend.join().unwrap())
}

/// Runs `check --peer` with the backend at the other end of `socket` and returns the findings.
pub(crate) fn ask(transmit: u64, socket: OwnedFd) -> Vec<Finding> {
    let task = task(transmit);
    let file = memfd(BYTES);
    let mut memory = Memory::default();
    let len = HugeLen::new(task.size, task.pages).unwrap();
    memory.add(file.as_fd(), len, Sharing::Shared, 2).unwrap();
    let mut findings = Findings::default();
    run_over(&task, &memory, socket, &mut findings).unwrap();
    findings.0
}

/// Returns the four outcomes, and the texts of all findings.
pub(crate) fn in_short(findings: &[Finding]) -> ([Outcome; 4], String) {
    let of = |id| findings.iter().find(|finding| finding.id == id).unwrap();
    let text =
        findings.iter().map(|finding| format!("{}: {} ({})\n", finding.id, finding.summary, finding.seen));
    (PEER.map(|id| of(id).outcome), text.collect())
}

const COMMON: u64 = feature::VERSION_1 | feature::PROTOCOL_FEATURES | 1 << 28 | 1 << 29;

/// Returns whether a request sets up, starts or stops a vring.
fn is_about_vrings(request: &Request) -> bool {
    matches!(
        request,
        Request::SetVringNum
            | Request::SetVringAddr
            | Request::SetVringBase
            | Request::GetVringBase
            | Request::SetVringKick
            | Request::SetVringCall
            | Request::SetVringErr
            | Request::SetVringEnable
    )
}

#[test]
fn no_vring_of_a_device_is_touched_that_is_not_known_to_be_a_network_device() {
    let _one = one_at_a_time();
    // The device-specific features that qemu-storage-daemon 7.2, SPDK, virtiofsd and the vhost-device crates offer.
    let devices: &[(&str, u64)] = &[
        ("block: SIZE_MAX SEG_MAX BLK_SIZE FLUSH TOPOLOGY CONFIG_WCE DISCARD WRITE_ZEROES", 0x6e46),
        ("block, MQ", 0x7e46),
        ("block, RO GEOMETRY LIFETIME SECURE_ERASE ZONED", 0x3_8074),
        ("block, BARRIER SCSI", 0x1_1ed7),
        ("file system", 0),
        ("file system, NOTIFICATION", 1),
        ("vsock, STREAM SEQPACKET", 0b11),
        ("console, SIZE MULTIPORT EMERG_WRITE", 0b111),
        ("entropy", 0),
        ("SCSI, INOUT HOTPLUG CHANGE T10_PI", 0b1111),
        ("GPU, VIRGL EDID RESOURCE_UUID RESOURCE_BLOB CONTEXT_INIT", 0b1_1111),
        ("sound, CTLS", 1),
    ];
    for (name, features) in devices {
        for transmit in [0, 8] {
            let before = held();
            let features = COMMON | features;
            let (findings, backend) = against(transmit, move |b| {
                b.features = features;
                b.protocol_features = protocol::MQ | protocol::REPLY_ACK;
                b.obey_until(Request::ResetOwner);
            });
            let (outcomes, text) = in_short(&findings);
            assert_eq!(
                outcomes,
                [Outcome::Pass, Outcome::Pass, Outcome::Skip, Outcome::Skip],
                "{name}:\n{text}"
            );
            assert!(text.contains("not a network device"), "{name}:\n{text}");
            assert!(!backend.requests.iter().any(is_about_vrings), "{name}: {:?}", backend.requests);
            drop(backend);
            assert_eq!(held(), before, "{name}: left behind");
        }
    }
}

#[test]
fn a_device_that_acknowledges_nothing_and_is_no_network_device_proves_nothing() {
    let _one = one_at_a_time();
    let (findings, backend) = against(8, |b| {
        (b.features, b.protocol_features) = (COMMON | 0x6e46, 0);
        b.obey_until(Request::ResetOwner);
    });
    let (outcomes, text) = in_short(&findings);
    assert_eq!(outcomes, [Outcome::Pass, Outcome::Skip, Outcome::Skip, Outcome::Skip], "{text}");
    assert!(!backend.requests.iter().any(is_about_vrings), "{:?}", backend.requests);
}

#[test]
fn what_offers_a_feature_of_virtio_net_is_asked_for_its_queues() {
    let _one = one_at_a_time();
    for (name, features) in [
        ("MRG_RXBUF alone, as passt", 1 << 15),
        ("DPDK's vhost library", 0x70_a0_7f_cb | 1 << 18 | 1 << 21),
        ("OVS-DPDK", 1 << 15 | 1 << 17 | 1 << 18 | 1 << 21 | 1 << 22),
        ("Cloud Hypervisor", 0x2_7fa7 | 1 << 22),
    ] {
        let (findings, backend) = against(0, move |b| {
            b.features = COMMON | features;
            b.obey_until(Request::ResetOwner);
        });
        let (outcomes, text) = in_short(&findings);
        assert_eq!(outcomes, [Outcome::Pass, Outcome::Pass, Outcome::Pass, Outcome::Skip], "{name}:\n{text}");
        assert!(backend.requests.contains(&Request::SetVringEnable), "{name}: {:?}", backend.requests);
    }
}

#[test]
fn the_peer_that_has_no_queue_is_not_asked_for_one() {
    let _one = one_at_a_time();
    let (findings, backend) = against(0, |b| {
        (b.protocol_features, b.queues) = (protocol::MQ | protocol::REPLY_ACK, 0);
        b.obey_until(Request::ResetOwner);
    });
    let (outcomes, text) = in_short(&findings);
    assert_eq!(outcomes, [Outcome::Pass, Outcome::Pass, Outcome::Fail, Outcome::Unknown], "{text}");
    assert!(text.contains("GET_QUEUE_NUM"), "{text}");
    assert!(!backend.requests.iter().any(is_about_vrings), "{:?}", backend.requests);
}

#[test]
fn a_peer_that_takes_its_time_for_every_answer_is_named_before_the_worker_s_time_is_up() {
    let _one = one_at_a_time();
    let began = Instant::now();
    let (findings, _backend) = against(0, |b| {
        b.delay = Duration::from_millis(800);
        b.obey_until(Request::ResetOwner);
    });
    assert!(began.elapsed() < task(0).time(), "{:?}", began.elapsed());
    let (outcomes, text) = in_short(&findings);
    assert_eq!(outcomes[2], Outcome::Fail, "{text}");
    assert!(text.contains("too slowly") && text.contains("the slowest answer"), "{text}");
}
