//! Handles the frontend's requests and answers them.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::vring::Vring;
use super::{Backend, BackendError, End, PAIRS};
use crate::channel::{ChannelError, Envelope};
use crate::message::{
    Config, Message, Payload, REGIONS_LIMIT, Request, VringAddresses, VringState, parse_vring_fd, protocol,
};
use crate::ring::{Device, Layout};
use crate::table::{Table, TableError};
use hugeprobe_linux::event::Event;

/// The answer to a request that is not refused.
enum Answer {
    /// A reply with this payload, which is always sent.
    With(Payload),
    /// Success, which is sent only if the frontend asked for an acknowledgement.
    Done,
}

/// The most messages handled before the backend serves the rings again.
const MESSAGES: usize = 16;
/// How long sending an answer may take. The session's deadline may end it sooner.
const ANSWER: Duration = Duration::from_secs(1);

impl Backend<'_> {
    /// Handles pending messages until the deadline. Returns `Some` if the frontend closed the connection.
    pub(super) fn converse(&mut self, deadline: Instant) -> Result<Option<End>, BackendError> {
        for _ in 0..MESSAGES {
            match self.channel.try_receive() {
                Ok(Some(envelope)) => {
                    self.answer(envelope, deadline)?;
                    if Instant::now() >= deadline {
                        break;
                    }
                }
                Ok(None) => break,
                Err(ChannelError::Closed) if self.is_running() => return Ok(Some(End::Abandoned)),
                Err(ChannelError::Closed) => return Ok(Some(End::Closed)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    fn answer(&mut self, envelope: Envelope, deadline: Instant) -> Result<(), BackendError> {
        let Envelope { message, fds } = envelope;
        let request = message.request;
        let wants_answer = message.needs_reply && self.protocol_features & protocol::REPLY_ACK != 0;
        let result = match message.is_reply {
            true => Err(refuse(request, "an answer without a request")),
            false => self.handle(request, message.payload, fds),
        };
        let payload = match &result {
            Ok(Answer::With(payload)) => Some(payload.clone()),
            Ok(Answer::Done) => wants_answer.then_some(Payload::U64(0)),
            Err(_) => wants_answer.then_some(Payload::U64(1)),
        };
        if let Some(payload) = payload {
            let until = deadline.min(Instant::now() + ANSWER);
            let sent = self.channel.send(&Message::reply(request, payload), &[], until);
            // If the request was refused, report that, even if the frontend has closed the connection since.
            if result.is_ok() {
                sent?;
            }
        }
        match result {
            // The answer said that the request is unknown, and the frontend may continue without it.
            Err(BackendError::Refused { request: Request::Unknown(_), .. }) if wants_answer => Ok(()),
            result => result.map(drop),
        }
    }

    fn handle(
        &mut self,
        request: Request,
        payload: Payload,
        fds: Vec<OwnedFd>,
    ) -> Result<Answer, BackendError> {
        let with = |number| Ok(Answer::With(Payload::U64(number)));
        expect_fds(request, &payload, fds.len())?;
        match (request, payload) {
            (Request::GetFeatures, _) => with(self.options.features),
            (Request::GetProtocolFeatures, _) => with(self.options.protocol_features),
            (Request::GetQueueNum, _) => with(PAIRS as u64),
            (Request::GetMaxMemSlots, _) => with(REGIONS_LIMIT as u64),
            (Request::GetStatus, _) => with(self.status),
            (Request::SetFeatures, Payload::U64(features)) => {
                self.features = subset(request, features, self.options.features)?;
                Ok(Answer::Done)
            }
            (Request::SetProtocolFeatures, Payload::U64(features)) => {
                self.protocol_features = subset(request, features, self.options.protocol_features)?;
                Ok(Answer::Done)
            }
            (Request::SetStatus, Payload::U64(status)) => {
                self.status = status;
                if status == 0 {
                    self.reset();
                }
                Ok(Answer::Done)
            }
            (Request::SetOwner | Request::SendRarp | Request::NetSetMtu, _) => Ok(Answer::Done),
            (Request::ResetOwner, _) => {
                self.vrings.iter_mut().for_each(|vring| vring.enabled = Some(false));
                Ok(Answer::Done)
            }
            (Request::ResetDevice, _) => {
                self.status = 0;
                self.reset();
                Ok(Answer::Done)
            }
            (Request::SetMemTable, Payload::Regions(regions)) => {
                let table = Table::new(&regions, fds, self.options.pages).map_err(in_table(request))?;
                self.table = table;
                self.look(request)
            }
            (Request::AddMemReg, Payload::Region(region)) => {
                self.table.add(region, fds, self.options.pages).map_err(in_table(request))?;
                self.look(request)
            }
            (Request::RemMemReg, Payload::Region(region)) => {
                self.table.remove(&region).map_err(in_table(request))?;
                Ok(Answer::Done)
            }
            // There is no configuration space. A reply without payload refuses the request.
            (Request::GetConfig, _) => {
                Ok(Answer::With(Payload::Config(Config { offset: 0, flags: 0, bytes: Vec::new() })))
            }
            (_, Payload::Vring(state)) => self.set_vring(request, state),
            (Request::SetVringAddr, Payload::Addresses(addresses)) => self.set_addresses(addresses),
            (Request::SetVringKick | Request::SetVringCall | Request::SetVringErr, Payload::U64(number)) => {
                self.set_event(request, number, fds)
            }
            (request, _) => Err(refuse(request, "not offered by this backend")),
        }
    }

    /// Shows the new table to the observer before the message is answered.
    fn look(&mut self, request: Request) -> Result<Answer, BackendError> {
        self.tables += 1;
        self.watch.table(&self.table, self.worker.traffic()).map_err(|why| refuse(request, why))?;
        Ok(Answer::Done)
    }

    fn set_vring(&mut self, request: Request, state: VringState) -> Result<Answer, BackendError> {
        let VringState { index, num } = state;
        let so_far = self.worker.traffic();
        let layout = Layout::of(self.features);
        let vring = vring(&mut self.vrings, request, index)?;
        match request {
            // The driver did not set this queue up. virtio_user sends size 0 for each queue that it could have.
            Request::SetVringNum if num == 0 => vring.size = Some(0),
            Request::SetVringNum => {
                vring.size =
                    Some(layout.checked_size(num).map_err(|source| BackendError::Ring { index, source })?);
            }
            Request::SetVringBase => {
                let beyond = || refuse(request, format!("base {num}, beyond the 16 bits of an index"));
                (vring.taken, vring.given) = layout.positions(num).ok_or_else(beyond)?;
                vring.has_base = true;
            }
            Request::SetVringEnable => match num {
                0 | 1 => vring.enabled = Some(num == 1),
                _ => return Err(refuse(request, format!("{num}, which is neither 0 nor 1"))),
            },
            Request::SetVringEndian if num == 0 => {}
            Request::GetVringBase => {
                self.watch.stopping(index, so_far);
                vring.stop();
                let num = layout.base(vring.taken, vring.given);
                return Ok(Answer::With(Payload::Vring(VringState { index, num })));
            }
            _ => return Err(refuse(request, "not offered by this backend")),
        }
        Ok(Answer::Done)
    }

    fn set_addresses(&mut self, addresses: VringAddresses) -> Result<Answer, BackendError> {
        let index = addresses.index;
        let vring = vring(&mut self.vrings, Request::SetVringAddr, index)?;
        // Check the addresses now if size and memory are known. Otherwise they are checked when the ring is first
        // used.
        if let (Some(size @ 1..), false) = (vring.size, self.table.regions().is_empty()) {
            Device::new(&self.table, size, &addresses, self.features)
                .map_err(|source| BackendError::Ring { index, source })?;
        }
        vring.addresses = Some(addresses);
        vring.is_placed = false;
        Ok(Answer::Done)
    }

    fn set_event(
        &mut self,
        request: Request,
        number: u64,
        mut fds: Vec<OwnedFd>,
    ) -> Result<Answer, BackendError> {
        let (index, _) = parse_vring_fd(number).ok_or_else(|| refuse(request, format!("{number:#x}")))?;
        let vring = vring(&mut self.vrings, request, index)?;
        if request == Request::SetVringErr {
            vring.err = fds.pop();
            return Ok(Answer::Done);
        }
        let event = fds.pop().map(Event::new).transpose().map_err(|why| refuse(request, why))?;
        match request {
            Request::SetVringKick => {
                if vring.size != Some(0) {
                    self.watch.starting(index);
                }
                vring.kick = Some(event);
                if let Ok(Some(device)) = vring.device(&self.table, self.features) {
                    device
                        .suppress_notifications(true)
                        .map_err(|source| BackendError::Ring { index, source })?;
                }
            }
            _ => vring.call = event,
        }
        Ok(Answer::Done)
    }

    /// Resets all vrings to the state before they were set up. The memory stays.
    fn reset(&mut self) {
        self.vrings.iter_mut().for_each(|vring| *vring = Vring::default());
    }
}

// === helpers ===

/// Checks that a request comes with the right number of descriptors.
fn expect_fds(request: Request, payload: &Payload, got: usize) -> Result<(), BackendError> {
    let expected = match (request, payload) {
        // `Table` checks the number for these two. REM_MEM_REG may come with one descriptor, which is closed.
        (Request::SetMemTable | Request::AddMemReg, _) => return Ok(()),
        (Request::RemMemReg, _) if got <= 1 => return Ok(()),
        (Request::SetVringKick | Request::SetVringCall | Request::SetVringErr, Payload::U64(number)) => {
            usize::from(parse_vring_fd(*number).is_some_and(|(_, has_fd)| has_fd))
        }
        // These requests are refused with or without descriptors.
        (Request::SetLogBase | Request::SetLogFd | Request::SetBackendReqFd | Request::SetInflightFd, _)
        | (Request::GpuSetSocket | Request::SetDeviceStateFd | Request::Unknown(_), _) => return Ok(()),
        _ => 0,
    };
    if got == expected {
        return Ok(());
    }
    Err(refuse(request, format!("{got} descriptors, not {expected}")))
}

fn vring(vrings: &mut [Vring], request: Request, index: u32) -> Result<&mut Vring, BackendError> {
    let count = vrings.len();
    let place = usize::try_from(index).ok().and_then(|place| vrings.get_mut(place));
    place.ok_or_else(|| refuse(request, format!("vring {index} of {count}")))
}

fn subset(request: Request, asked: u64, offered: u64) -> Result<u64, BackendError> {
    match asked & !offered {
        0 => Ok(asked),
        more => Err(refuse(request, format!("{more:#x}, which was not offered"))),
    }
}

fn in_table(request: Request) -> impl Fn(TableError) -> BackendError {
    move |source| BackendError::Table { request, source }
}

fn refuse(request: Request, why: impl Into<String>) -> BackendError {
    BackendError::Refused { request, why: why.into() }
}
