//! Values that a unit file writes as text and that have a grammar of their own.

mod calendar;
mod check;
mod condition;
mod credential;
mod image;
mod network;
mod process;
mod quantity;
mod scheduling;
mod word;
mod written;

pub use calendar::Calendar;
pub use condition::{
    Architecture, CONTAINERS, CountTest, FileName, MACHINES, OsReleaseTests, PathPattern, SizeTest, Stated,
    VersionTests, Word, Words, YesNo,
};
pub use credential::{CredentialPattern, CredentialSource, EncryptedCredential, is_credential_name};
pub use network::{Address, ContainerPort, HostPort, InterfaceAddress, InterfaceName, Protocol};
pub use process::{
    CpuSet, DeviceRule, DeviceSource, KernelSetting, MachineId, OomScore, ProcessLimit, ProfileName,
    SelinuxLabel, TimeZone, VariableName,
};
pub use quantity::{Bytes, Percentage, PressureLimit, Rate, TaskLimit, TimeSpan, Weight};
pub use scheduling::{IoPriority, Nice, RealtimePriority};
pub use word::{AbsolutePath, Account, CapabilityName, HostName, Mode, SignalNumber, SliceName};
pub use written::{Numbers, Text, ValueError, Written};
