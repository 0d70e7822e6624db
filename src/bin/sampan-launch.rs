//! sampan-launch

fn main() {}
