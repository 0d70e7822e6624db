//! sampan-import

fn main() {}
