//! The termination message of a container, which the agent reads from a pod.
#![no_main]

use hugeprobe::domain::compact::{Container, MESSAGE_LIMIT, Message, Run};
use hugeprobe::domain::size::PageSize;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(size) = PageSize::from_bytes(2 << 20) else { return };
    let Ok(run) = "a-run".parse::<Run>() else { return };
    let text = String::from_utf8_lossy(bytes);
    for container in Container::ALL {
        let Ok(message) = Message::parse(&text, container, size, &run) else { continue };
        let written = message.write();
        assert!(written.len() <= MESSAGE_LIMIT && written.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let again = Message::parse(&written, container, size, &run).map(|again| (again.verdict(), again.write()));
        assert_eq!(again, Ok((message.verdict(), written)));
        assert!(message.workers.iter().all(|worker| container.roles().any(|role| role == worker.role)));
    }
});
