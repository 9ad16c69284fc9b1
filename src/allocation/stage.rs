//! One step: announced, counters read, done, counters read again.

use std::io;

use super::backing::Sight;
use super::meter::{Meter, Reservable};
use super::trial::{Done, Try};
use crate::domain::check::CheckId;
use crate::domain::counters::{Counters, Movement};
use crate::domain::movement::Step;
use crate::domain::part::Telling;

/// Where steps are done: who listens, and the counters.
pub(super) struct Stage<'a> {
    pub(super) meter: Meter,
    pub(super) tell: &'a mut dyn Telling,
}

/// A step that was attempted, and the counters around it as far as they could be read.
#[derive(Debug)]
pub(super) struct Around {
    name: String,
    pub(super) before: Result<Counters, String>,
    pub(super) after: Result<Counters, String>,
}

// === impl Stage ===

impl Stage<'_> {
    /// Announces a step, does it, and reads the counters just before and just after. `round` is told from the second on.
    pub(super) fn around<T>(
        &mut self,
        id: CheckId,
        name: &str,
        round: u32,
        act: impl FnOnce() -> T,
    ) -> io::Result<(Around, T)> {
        let name = if round > 1 { format!("{name} (try {round})") } else { name.to_owned() };
        self.tell.step(id, &name)?;
        let before = self.meter.read();
        let answer = act();
        let after = self.meter.read();
        Ok((Around { name, before, after }, answer))
    }

    /// A step that was done: shows how the counters moved. `mapping` is our mapping now, and the pages it should hold.
    pub(super) fn done(
        &mut self,
        around: &Around,
        step: &Step,
        mapping: Option<(Sight, u64)>,
    ) -> io::Result<Try> {
        let movement = around.movement(step);
        if let Ok(movement) = &movement {
            self.tell.moved(movement)?;
        }
        Ok(Try::Done(Box::new(Done { movement, mapping })))
    }

    /// What could be reserved before and after a step, as far as known.
    pub(super) fn room(&self, around: &Around) -> [Option<Reservable>; 2] {
        [&around.before, &around.after].map(|counters| Some(self.meter.room(counters.as_ref().ok()?)))
    }
}

// === impl Around ===

impl Around {
    /// Pages free afterwards, if known.
    pub(super) fn free(&self) -> Option<u64> {
        self.after.as_ref().ok().map(|counters| counters.free)
    }

    fn movement(&self, step: &Step) -> Result<Movement, String> {
        let (before, after) = (self.before.clone()?, self.after.clone()?);
        Ok(Movement {
            step: self.name.clone(),
            documented: step.documented(),
            expected: step.expect(&before, &after),
            before,
            after,
            figures: Vec::new(),
        })
    }
}
