//! A container's message: what a pod hands to the agent.
#![no_main]

use hugeprobe::domain::compact::{Container, MESSAGE_LIMIT, Message, Run};
use hugeprobe::domain::size::PageSize;
use libfuzzer_sys::fuzz_target;

/// CRC-32, bit by bit: without the right sum nothing but the sum would be fuzzed.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Some(size) = PageSize::from_bytes(2 << 20) else { return };
    let Ok(run) = "a-run".parse::<Run>() else { return };
    let text = String::from_utf8_lossy(bytes);
    let sealed = format!("{text} crc32 ");
    let sealed = format!("{sealed}{:08x}\n", crc32(sealed.as_bytes()));
    for text in [text.as_ref(), sealed.as_str()] {
        for container in Container::ALL {
            if let Ok(message) = Message::parse(text, container, size, &run) {
                let written = message.write();
                assert!(written.len() <= MESSAGE_LIMIT);
                assert_eq!(written.trim_end(), text.trim_end());
                assert!(message.workers.iter().all(|worker| container.roles().any(|role| role == worker.role)));
            }
        }
    }
});
