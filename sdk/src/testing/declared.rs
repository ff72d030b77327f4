//! The slots that the flow under test declares.

use std::cell::Cell;

use crate::{Error, Result};

type Slots = &'static [&'static str];

thread_local! {
    /// Those of the flow that runs on this thread, where it declares any.
    static DECLARED: Cell<Option<Slots>> = const { Cell::new(None) };
}

/// Until this is dropped, no other slots can be opened.
#[derive(Debug)]
pub struct Declared {
    before: Option<Slots>,
}

/// Declares the slots of a flow that begins to run.
pub fn declare(slots: Slots) -> Declared {
    Declared { before: DECLARED.replace(Some(slots)) }
}

impl Drop for Declared {
    fn drop(&mut self) {
        DECLARED.set(self.before);
    }
}

/// Refuses a slot that the running flow does not declare, as the server does.
pub(super) fn check(slot: &str) -> Result<()> {
    match DECLARED.get() {
        Some(declared) if !declared.contains(&slot) => {
            let message = format!(
                "The flow opens the slot {slot}, which it does not declare; declare it: #[headgate_sdk::flow(slots({slot}: ...))]."
            );
            Err(Error::new("slot_undeclared", message))
        }
        _ => Ok(()),
    }
}
