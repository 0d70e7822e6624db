//! Images as data: references, digests, manifests, tar entries, whiteouts, and the tree that layers fold into.
//! No network and no store here.
#![forbid(unsafe_code)]

pub mod config;
