//! A whole stream of vhost-user messages, without descriptors, for the backend's loop. The loop must end, at the latest
//! when the stream does.
#![no_main]

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use hugeprobe::exchange::backend::{Backend, End, FEATURES, Nobody, Options, PROTOCOL_FEATURES, Work};
use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::table::Pages;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok((mut peer, socket)) = UnixStream::pair() else { return };
    // Both the input and the replies fit into the socket's buffers.
    if peer.write_all(bytes).and_then(|()| peer.shutdown(Shutdown::Write)).is_err() {
        return;
    }
    let options = Options {
        pages: Pages::Any,
        work: Work::Echo,
        features: FEATURES,
        protocol_features: PROTOCOL_FEATURES,
    };
    let mut nobody = Nobody;
    let mut backend = Backend::new(Channel::new(socket.into()), options, &mut nobody);
    let end = backend.serve(Instant::now() + Duration::from_secs(1));
    assert!(!matches!(end, Ok(End::Deadline)), "the stream is over, and the backend waits");
});
