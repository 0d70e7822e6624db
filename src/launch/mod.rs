//! Launching: a plan is data before it is action. `plan` makes it from a unit, an image's configuration and
//! facts of the host; `spawn` hands it to a fresh `sampan-launch`; `steps` performs it there.
#![forbid(unsafe_code)]

pub mod protocol;
