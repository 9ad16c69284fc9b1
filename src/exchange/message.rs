//! Parses and serialises vhost-user messages.
//!
//! Source: QEMU's docs/interop/vhost-user.rst, "Message Specification" and "Front-end message types". Numbers there
//! are in the machine's byte order. Every machine that hugeprobe runs on is little-endian, and so is this codec. Sizes
//! are strict: a payload whose length differs from the one of its request is an error.

mod codec;
mod request;

pub use request::Request;

/// The length of the header in bytes: request, flags and size of 32 bits each.
pub const HEADER_BYTES: usize = 12;
/// The longest accepted payload in bytes. The longest known one, a configuration space, has 268.
pub const PAYLOAD_LIMIT: usize = 4096;
/// The most regions in one SET_MEM_TABLE, and therefore the most descriptors in one message.
pub const REGIONS_LIMIT: usize = 8;
/// The size of the largest configuration space in bytes.
pub const CONFIG_LIMIT: usize = 256;

/// The protocol version, in the low two bits of the flags.
const VERSION: u32 = 1;
const VERSION_MASK: u32 = 3;
const REPLY: u32 = 1 << 2;
const NEED_REPLY: u32 = 1 << 3;
/// Set in SET_VRING_KICK, CALL or ERR if no descriptor comes with the message.
const NO_FD: u64 = 1 << 8;
const INDEX_MASK: u64 = 0xff;

/// The bits of GET_FEATURES and SET_FEATURES.
pub mod feature {
    /// The driver accepts one frame in several buffers.
    pub const MRG_RXBUF: u64 = 1 << 15;
    /// The driver may use several queue pairs. SET_VRING_ENABLE shows which of them it uses.
    pub const MQ: u64 = 1 << 22;
    /// A descriptor may refer to a table of descriptors.
    pub const INDIRECT_DESC: u64 = 1 << 28;
    /// Protocol features are supported.
    pub const PROTOCOL_FEATURES: u64 = 1 << 30;
    /// virtio 1.0: little-endian rings, and frame headers of 12 bytes.
    pub const VERSION_1: u64 = 1 << 32;
    /// The rings are packed.
    pub const RING_PACKED: u64 = 1 << 34;
    /// The device returns buffers in the order in which they were made available.
    pub const IN_ORDER: u64 = 1 << 35;
}

/// The bits of GET_PROTOCOL_FEATURES and SET_PROTOCOL_FEATURES.
pub mod protocol {
    /// The backend answers GET_QUEUE_NUM.
    pub const MQ: u64 = 1;
    /// The sender may ask for an acknowledgement of a request that otherwise has no answer.
    pub const REPLY_ACK: u64 = 1 << 3;
    /// The backend supports GET_CONFIG and SET_CONFIG.
    pub const CONFIG: u64 = 1 << 9;
    /// The backend supports RESET_DEVICE.
    pub const RESET_DEVICE: u64 = 1 << 13;
    /// The backend supports GET_MAX_MEM_SLOTS, ADD_MEM_REG and REM_MEM_REG.
    pub const CONFIGURE_MEM_SLOTS: u64 = 1 << 15;
    /// The backend supports GET_STATUS and SET_STATUS.
    pub const STATUS: u64 = 1 << 16;
}

/// A message with its parsed payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The request, or the request that this message answers.
    pub request: Request,
    /// Whether the message is an answer.
    pub is_reply: bool,
    /// Whether the sender asks for an acknowledgement. It has an effect only once REPLY_ACK was negotiated.
    pub needs_reply: bool,
    /// The payload.
    pub payload: Payload,
}

/// The first 12 bytes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The request, or the request that this message answers.
    pub request: Request,
    /// The same as in [`Message`].
    pub is_reply: bool,
    /// The same as in [`Message`].
    pub needs_reply: bool,
    /// The length of the payload in bytes, at most [`PAYLOAD_LIMIT`].
    pub size: usize,
}

/// The payload of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// No payload.
    None,
    /// A number.
    U64(u64),
    /// A vring and a number.
    Vring(VringState),
    /// The addresses of the parts of a vring.
    Addresses(VringAddresses),
    /// The memory table. The files are passed as descriptors in the same order.
    Regions(Vec<MemoryRegion>),
    /// One region.
    Region(MemoryRegion),
    /// The log of dirty pages.
    Log {
        /// The size in bytes.
        size: u64,
        /// The offset in the passed file.
        offset: u64,
    },
    /// A part of the device's configuration space.
    Config(Config),
    /// The uninterpreted bytes of a request that is unknown, or whose payload is not used here.
    Raw(Vec<u8>),
}

/// A vring and a number about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VringState {
    /// The index of the vring.
    pub index: u32,
    /// The vring's size or base, or whether it is enabled.
    pub num: u32,
}

/// The addresses of the parts of a vring, as user addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VringAddresses {
    /// The index of the vring.
    pub index: u32,
    /// Bit 0: log writes to the used ring.
    pub flags: u32,
    /// The descriptor table, or the descriptor ring of a packed ring.
    pub descriptors: u64,
    /// The used ring, or the device's event suppression of a packed ring.
    pub used: u64,
    /// The available ring, or the driver's event suppression of a packed ring.
    pub available: u64,
    /// The guest address for logging.
    pub log: u64,
}

/// One region of the frontend's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryRegion {
    /// The guest address, to which the addresses in descriptors refer.
    pub guest: u64,
    /// The length in bytes.
    pub bytes: u64,
    /// The user address in the frontend, to which the addresses of vrings refer.
    pub user: u64,
    /// The offset in the file, in bytes.
    pub offset: u64,
}

/// A part of the device's configuration space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The offset in the configuration space.
    pub offset: u32,
    /// 0 for fields that the driver may write, 1 for live migration.
    pub flags: u32,
    /// The bytes. In an answer, no bytes mean that the backend refuses the request.
    pub bytes: Vec<u8>,
}

/// An invalid message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The protocol version is not 1.
    #[error("{request} with flags {flags:#x}: version {} instead of {VERSION}", flags & VERSION_MASK)]
    Version {
        /// The request.
        request: Request,
        /// All of the flags.
        flags: u32,
    },
    /// The header announces a payload longer than [`PAYLOAD_LIMIT`].
    #[error("{request} announces {size} bytes, more than {PAYLOAD_LIMIT}")]
    TooLong {
        /// The request.
        request: Request,
        /// The announced length in bytes.
        size: u32,
    },
    /// The length of the payload does not fit the request.
    #[error("{request} with {size} bytes instead of {expected}")]
    Size {
        /// The request.
        request: Request,
        /// The length of the payload in bytes.
        size: usize,
        /// The lengths that are valid.
        expected: String,
    },
    /// A memory table has more than [`REGIONS_LIMIT`] regions.
    #[error("{request} with {0} regions, more than {REGIONS_LIMIT}", request = Request::SetMemTable)]
    TooManyRegions(u32),
}

// === impl Header ===

impl Header {
    /// Parses a header.
    ///
    /// # Errors
    ///
    /// The version is not 1, or the announced payload is too long.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, MessageError> {
        let [number, flags, size] = codec::three_numbers(bytes);
        let request = Request::from_number(number);
        if flags & VERSION_MASK != VERSION {
            return Err(MessageError::Version { request, flags });
        }
        let fits = usize::try_from(size).ok().filter(|size| *size <= PAYLOAD_LIMIT);
        let size = fits.ok_or(MessageError::TooLong { request, size })?;
        Ok(Self { request, is_reply: flags & REPLY != 0, needs_reply: flags & NEED_REPLY != 0, size })
    }
}

// === impl Message ===

impl Message {
    /// Creates a request.
    #[must_use]
    pub const fn request(request: Request, payload: Payload) -> Self {
        Self { request, is_reply: false, needs_reply: false, payload }
    }

    /// Creates the answer to `request`.
    #[must_use]
    pub const fn reply(request: Request, payload: Payload) -> Self {
        Self { request, is_reply: true, needs_reply: false, payload }
    }

    /// Parses the payload that follows a header.
    ///
    /// # Errors
    ///
    /// The length of the payload does not fit the request, or the payload has too many regions.
    pub fn parse(header: &Header, bytes: &[u8]) -> Result<Self, MessageError> {
        let payload = header.request.shape(header.is_reply).parse(header.request, bytes)?;
        Ok(Self {
            request: header.request,
            is_reply: header.is_reply,
            needs_reply: header.needs_reply,
            payload,
        })
    }

    /// Returns the bytes to send: header and payload.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(64);
        self.payload.write(&mut payload);
        let flags =
            VERSION | if self.is_reply { REPLY } else { 0 } | if self.needs_reply { NEED_REPLY } else { 0 };
        // hugeprobe creates no payload longer than 32 bits can express. A receiver would refuse one.
        let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
        for field in [self.request.number(), flags, size] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.append(&mut payload);
        bytes
    }
}

/// Returns the payload of SET_VRING_KICK, CALL and ERR: the vring, and whether a descriptor comes with the message.
#[must_use]
pub fn vring_fd(index: u8, has_fd: bool) -> Payload {
    Payload::U64(u64::from(index) | if has_fd { 0 } else { NO_FD })
}

/// Parses the payload of SET_VRING_KICK, CALL and ERR: the vring, and whether a descriptor comes with the message.
/// Returns `None` if other bits are set.
#[must_use]
pub fn parse_vring_fd(number: u64) -> Option<(u32, bool)> {
    if number & !(INDEX_MASK | NO_FD) != 0 {
        return None;
    }
    Some((u32::try_from(number & INDEX_MASK).ok()?, number & NO_FD == 0))
}

#[cfg(test)]
mod tests;
