//! Our own D-Bus interfaces, shaped after `org.freedesktop.systemd1`: bus name `org.sampan1`, objects
//! `/org/sampan1` and `/org/sampan1/unit/ESCAPED`.
#![forbid(unsafe_code)]

pub mod proxy;
pub mod wire;
