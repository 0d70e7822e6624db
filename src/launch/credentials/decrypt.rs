//! Encrypted credentials are systemd's: systemd-creds(1) knows the host's key and its security chip.

use super::{Bytes, Patience, SIZE_MAX};
use crate::sys::child::end_with_us;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Decrypts; the name is a part of what was encrypted, and must be the same.
pub fn decrypt(program: &Path, name: &str, encrypted: &[u8], patience: &Patience<'_>) -> io::Result<Bytes> {
    // All of it is there before anybody reads: neither waits for the other.
    let mut input = File::from(memfd_create("credential", MemfdFlags::CLOEXEC)?);
    input.write_all(encrypted)?;
    input.rewind()?;
    let mut command = Command::new(program);
    command.args(["decrypt", &format!("--name={name}"), "-", "-"]).env_clear().current_dir("/");
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = end_with_us(&mut command).spawn()?;
    let decrypted = output(&mut child, patience);
    if decrypted.is_err() {
        // It may have ended, which is as good.
        let _ = child.kill();
    }
    // It tells no more than that it failed.
    match (child.wait()?.success(), decrypted) {
        (false, Ok(_)) => Err(Errno::BADMSG.into()),
        (_, decrypted) => decrypted,
    }
}

fn output(child: &mut Child, patience: &Patience<'_>) -> io::Result<Bytes> {
    let output = child.stdout.take().ok_or(Errno::BADF)?;
    patience.read(output.as_fd(), SIZE_MAX)
}
