//! Our own D-Bus interfaces, shaped after `org.freedesktop.systemd1`: bus name `org.sampan1`, objects
//! `/org/sampan1` and `/org/sampan1/unit/ESCAPED`.
#![forbid(unsafe_code)]

pub mod error;
pub mod manager;
pub mod proxy;
pub mod publish;
pub mod unit;
pub mod wire;
