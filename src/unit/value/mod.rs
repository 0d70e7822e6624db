//! Values that a unit file writes as text and that have a grammar of their own.

mod check;
mod quantity;
mod word;
mod written;

pub use quantity::{Bytes, Percentage, TaskLimit, TimeSpan, Weight};
pub use word::{AbsolutePath, Account, CapabilityName, HostName, Mode, SignalNumber, SliceName};
pub use written::{Numbers, Text, ValueError, Written};
