//! sampanctl

fn main() {}
