//! Parses and serialises payloads, field by field.

use super::{
    CONFIG_LIMIT, Config, HEADER_BYTES, MemoryRegion, MessageError, Payload, REGIONS_LIMIT, Request,
    VringAddresses, VringState,
};

/// The layout of a payload.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    None,
    U64,
    Vring,
    Addresses,
    Regions,
    Region,
    /// A number, or a description of the log if LOG_SHMFD was negotiated.
    Log,
    Config,
    Raw,
}

// === impl Request ===

impl Request {
    pub(super) const fn shape(self, is_reply: bool) -> Shape {
        match self {
            Self::GetVringBase => Shape::Vring,
            Self::GetConfig => Shape::Config,
            Self::GetInflightFd | Self::PostcopyAdvise => Shape::Raw,
            Self::CreateCryptoSession | Self::GetSharedObject | Self::Unknown(_) => Shape::Raw,
            // All other answers, if there is one, are a number.
            _ if is_reply => Shape::U64,
            Self::SetFeatures
            | Self::SetProtocolFeatures
            | Self::SetVringKick
            | Self::SetVringCall
            | Self::SetVringErr
            | Self::SendRarp
            | Self::NetSetMtu
            | Self::CloseCryptoSession
            | Self::SetStatus => Shape::U64,
            Self::SetVringNum
            | Self::SetVringBase
            | Self::SetVringEnable
            | Self::SetVringEndian
            | Self::VringKick => Shape::Vring,
            Self::SetVringAddr => Shape::Addresses,
            Self::SetMemTable => Shape::Regions,
            Self::AddMemReg | Self::RemMemReg => Shape::Region,
            Self::SetLogBase => Shape::Log,
            Self::SetConfig => Shape::Config,
            Self::IotlbMsg | Self::SetInflightFd | Self::SetDeviceStateFd => Shape::Raw,
            Self::GetFeatures
            | Self::SetOwner
            | Self::ResetOwner
            | Self::SetLogFd
            | Self::GetProtocolFeatures
            | Self::GetQueueNum
            | Self::SetBackendReqFd
            | Self::PostcopyListen
            | Self::PostcopyEnd
            | Self::GpuSetSocket
            | Self::ResetDevice
            | Self::GetMaxMemSlots
            | Self::GetStatus
            | Self::CheckDeviceState => Shape::None,
        }
    }
}

// === impl Shape ===

impl Shape {
    pub(super) fn parse(self, request: Request, bytes: &[u8]) -> Result<Payload, MessageError> {
        let wrong =
            |expected: &str| MessageError::Size { request, size: bytes.len(), expected: expected.to_owned() };
        let mut fields = Fields(bytes);
        match self {
            Self::None if bytes.is_empty() => Ok(Payload::None),
            Self::None => Err(wrong("0")),
            Self::U64 => fields.whole(Fields::u64).map(Payload::U64).ok_or_else(|| wrong("8")),
            Self::Vring => fields.whole(Fields::vring).map(Payload::Vring).ok_or_else(|| wrong("8")),
            Self::Addresses => {
                fields.whole(Fields::addresses).map(Payload::Addresses).ok_or_else(|| wrong("40"))
            }
            Self::Regions => {
                let (Some(count), Some(_padding)) = (fields.u32(), fields.u32()) else {
                    return Err(wrong("8 and 32 for each region"));
                };
                if usize::try_from(count).map_or(true, |count| count > REGIONS_LIMIT) {
                    return Err(MessageError::TooManyRegions(count));
                }
                let regions: Option<Vec<_>> = (0..count).map(|_| fields.region()).collect();
                match regions {
                    Some(regions) if fields.0.is_empty() => Ok(Payload::Regions(regions)),
                    _ => Err(wrong(&format!("{}", 8 + u64::from(count) * 32))),
                }
            }
            Self::Region => fields
                .whole(|fields| fields.u64().and_then(|_padding| fields.region()))
                .map(Payload::Region)
                .ok_or_else(|| wrong("40")),
            Self::Log => match bytes.len() {
                8 => fields.whole(Fields::u64).map(Payload::U64),
                _ => fields.whole(|fields| Some(Payload::Log { size: fields.u64()?, offset: fields.u64()? })),
            }
            .ok_or_else(|| wrong("8 or 16")),
            // A backend that refuses GET_CONFIG answers without a payload.
            Self::Config if bytes.is_empty() => {
                Ok(Payload::Config(Config { offset: 0, flags: 0, bytes: Vec::new() }))
            }
            Self::Config => fields
                .config()
                .map(Payload::Config)
                .ok_or_else(|| wrong("12 and as many as its size field says, 256 at most")),
            Self::Raw => Ok(Payload::Raw(bytes.to_vec())),
        }
    }
}

// === impl Payload ===

impl Payload {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => {}
            Self::U64(number) => put(out, &[*number]),
            Self::Vring(VringState { index, num }) => put(out, &[*index, *num]),
            Self::Addresses(addresses) => {
                put(out, &[addresses.index, addresses.flags]);
                put(out, &[addresses.descriptors, addresses.used, addresses.available, addresses.log]);
            }
            Self::Regions(regions) => {
                put(out, &[u32::try_from(regions.len()).unwrap_or(u32::MAX), 0]);
                regions.iter().for_each(|region| region.write(out));
            }
            Self::Region(region) => {
                put(out, &[0_u64]);
                region.write(out);
            }
            Self::Log { size, offset } => put(out, &[*size, *offset]),
            Self::Config(config) if config.bytes.is_empty() => {}
            Self::Config(config) => {
                let size = u32::try_from(config.bytes.len()).unwrap_or(u32::MAX);
                put(out, &[config.offset, size, config.flags]);
                out.extend_from_slice(&config.bytes);
            }
            Self::Raw(bytes) => out.extend_from_slice(bytes),
        }
    }
}

impl MemoryRegion {
    fn write(&self, out: &mut Vec<u8>) {
        put(out, &[self.guest, self.bytes, self.user, self.offset]);
    }
}

/// A little-endian number of 32 or 64 bits.
trait Field: Copy {
    fn put(self, out: &mut Vec<u8>);
}

impl Field for u32 {
    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
}

impl Field for u64 {
    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
}

fn put<F: Field>(out: &mut Vec<u8>, fields: &[F]) {
    fields.iter().for_each(|field| field.put(out));
}

/// The bytes that have not been read yet.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn vring(&mut self) -> Option<VringState> {
        Some(VringState { index: self.u32()?, num: self.u32()? })
    }

    fn addresses(&mut self) -> Option<VringAddresses> {
        let (index, flags) = (self.u32()?, self.u32()?);
        let (descriptors, used, available, log) = (self.u64()?, self.u64()?, self.u64()?, self.u64()?);
        Some(VringAddresses { index, flags, descriptors, used, available, log })
    }

    fn region(&mut self) -> Option<MemoryRegion> {
        Some(MemoryRegion { guest: self.u64()?, bytes: self.u64()?, user: self.u64()?, offset: self.u64()? })
    }

    fn config(&mut self) -> Option<Config> {
        let (offset, size, flags) = (self.u32()?, self.u32()?, self.u32()?);
        let size = usize::try_from(size).ok()?;
        if size != self.0.len() || size > CONFIG_LIMIT {
            return None;
        }
        Some(Config { offset, flags, bytes: self.0.to_vec() })
    }

    /// Returns what `read` reads, if no bytes are left over.
    fn whole<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        read(self).filter(|_| self.0.is_empty())
    }
}

/// Returns the three numbers of a header. The array has exactly their size, so none can be missing.
pub(super) fn three_numbers(bytes: &[u8; HEADER_BYTES]) -> [u32; 3] {
    let mut fields = Fields(bytes);
    [(); 3].map(|()| fields.u32().unwrap_or_default())
}
