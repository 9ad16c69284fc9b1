//! First contact by hand: `exchange frontend|backend SOCKET [listen] [frames] [work]`. Not part of the product.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use hugeprobe::domain::size::{HugeLen, PageSize};
use hugeprobe::exchange::backend::{Backend, FEATURES, Nobody, Options, PROTOCOL_FEATURES, Work};
use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::frame::{Source, Tracker};
use hugeprobe::exchange::frontend::{Frontend, Job, Memory, Pair, Peer, Waiting};
use hugeprobe::exchange::{socket, table::Pages};
use hugeprobe::linux::hugefile::{HugeFile, Place};
use hugeprobe::linux::map::Sharing;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let path = Path::new(&args[2]);
    let listen = args.iter().any(|arg| arg == "listen");
    let frames: u64 =
        args.iter().find_map(|arg| arg.strip_prefix("frames=")).map_or(1_000_000, |n| n.parse().unwrap());
    let seconds: u64 =
        args.iter().find_map(|arg| arg.strip_prefix("seconds=")).map_or(20, |n| n.parse().unwrap());
    let window: u16 =
        args.iter().find_map(|arg| arg.strip_prefix("window=")).map_or(256, |n| n.parse().unwrap());
    let work = args.iter().find_map(|arg| arg.strip_prefix("work=")).unwrap_or("echo");
    let waiting = if args.iter().any(|arg| arg == "called") { Waiting::Called } else { Waiting::Looking };
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let fd = if listen {
        socket::Listener::new(path).unwrap().accept(deadline).unwrap()
    } else {
        socket::connect(path, deadline).unwrap()
    };
    let channel = Channel::new(fd);
    match args[1].as_str() {
        "frontend" => {
            let size = PageSize::from_bytes(2 << 20).unwrap();
            let mut memory = Memory::default();
            for _ in 0..2 {
                let file = HugeFile::new(Place::Memfd, HugeLen::new(size, 1).unwrap()).unwrap();
                memory.add(file.as_fd(), file.len(), Sharing::Shared, 1).unwrap();
            }
            memory.mappings().for_each(|mapping| mapping.populate_write(0..1).unwrap());
            let mut frontend = Frontend::new(channel, Duration::from_secs(5)).unwrap();
            println!("{:x?}", frontend.negotiated());
            let (regions, fds) = memory.table(2);
            frontend.set_memory(&regions, &fds).unwrap();
            let mut pair = Pair::new(&mut memory.areas(2), 256, frontend.negotiated().features).unwrap();
            frontend.start(&pair).unwrap();
            let peer = match work {
                "echo" => Peer::Echoes,
                "sink" => Peer::Sinks,
                _ => Peer::Sends,
            };
            let job = Job { seed: 7, frames, length: 64, peer, window, waiting };
            let mut outcome = pair.run(&job, frontend.channel(), deadline).unwrap();
            if window == 1 {
                outcome.round_trips.sort_unstable();
                let n = outcome.round_trips.len();
                println!("p50 {} p99 {} ns", outcome.round_trips[n / 2], outcome.round_trips[n * 99 / 100]);
            }
            outcome.round_trips.clear();
            println!("{outcome:?} {:.2} Mpps", frames as f64 * 1000.0 / outcome.nanos as f64);
            println!("bases {:?}", frontend.stop(&pair).unwrap());
        }
        _ => {
            let work = match work {
                "echo" => Work::Echo,
                "sink" => Work::Sink(Some(Tracker::new(7))),
                "count" => Work::Sink(None),
                "bounce" => {
                    Work::Source { source: Source::new(7, 64), frames, returns: Some(Tracker::new(7)) }
                }
                _ => Work::Source { source: Source::new(7, 64), frames, returns: None },
            };
            let options = Options {
                pages: Pages::Huge,
                work,
                features: FEATURES,
                protocol_features: PROTOCOL_FEATURES,
            };
            let mut watch = Nobody;
            let mut backend = Backend::new(channel, options, &mut watch);
            let end = backend.serve(deadline);
            for region in backend.table().regions() {
                println!("{:x?} {:?}", region.given(), region.facts());
            }
            println!("{end:?} {:x?}", backend.report());
        }
    }
}
