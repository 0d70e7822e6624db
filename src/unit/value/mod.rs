//! Values that a unit file writes as text and that have a grammar of their own.

mod check;
mod condition;
mod quantity;
mod word;
mod written;

pub use condition::{
    Architecture, CONTAINERS, CountTest, FileName, MACHINES, OsReleaseTests, PathPattern, SizeTest, Stated,
    VersionTests, Word, Words, YesNo,
};
pub use quantity::{Bytes, Percentage, TaskLimit, TimeSpan, Weight};
pub use word::{AbsolutePath, Account, CapabilityName, HostName, Mode, SignalNumber, SliceName};
pub use written::{Numbers, Text, ValueError, Written};
