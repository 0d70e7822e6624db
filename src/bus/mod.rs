//! Our own D-Bus interfaces, shaped after `org.freedesktop.systemd1`: bus name `org.sampan1`, objects
//! `/org/sampan1`, `/org/sampan1/unit/ESCAPED` and `/org/sampan1/transfer/ID`.
#![forbid(unsafe_code)]

pub mod error;
pub mod manager;
pub mod proxy;
pub mod publish;
pub mod transfer;
pub mod unit;
pub mod wire;
