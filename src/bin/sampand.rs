//! sampand

fn main() {}
