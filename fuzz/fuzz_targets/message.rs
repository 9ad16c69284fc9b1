//! One vhost-user message: what can be read and written again stays as it is from then on. Not before: a part of the
//! configuration space without bytes is written as the refusal that it is, without offset and flags.
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
