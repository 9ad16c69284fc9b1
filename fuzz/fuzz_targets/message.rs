//! One vhost-user message. Once it has been read and written, reading and writing it again must not change it. The
//! first writing may: a part of the configuration space without bytes is a refusal and is written as such, without
//! offset and flags.
#![no_main]

use hugeprobe::exchange::message::{Header, Message};
use libfuzzer_sys::fuzz_target;

fn parse(bytes: &[u8]) -> Option<Message> {
    let (header, payload) = bytes.split_first_chunk()?;
    let header = Header::parse(header).ok()?;
    Message::parse(&header, payload.get(..header.size)?).ok()
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(message) = parse(bytes) {
        let bytes = message.to_bytes();
        assert_eq!(parse(&bytes).map(|again| again.to_bytes()), Some(bytes));
    }
});
