//! Files as block devices, loop(4), for as long as somebody uses them.

use rustix::fs::{Mode, OFlags, open};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

/// linux/loop.h.
const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a as libc::Ioctl;
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82 as libc::Ioctl;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// `struct loop_info64`.
#[repr(C)]
struct Information {
    numbers: [u64; 5],
    number: u32,
    unused: [u32; 2],
    flags: u32,
    names: [u8; 160],
    rest: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct Configuration {
    file: u32,
    block_size: u32,
    information: Information,
    reserved: [u64; 8],
}

/// A loop device. It is free again when it is neither open nor mounted.
#[derive(Debug)]
pub struct LoopDevice {
    /// Its node.
    pub path: PathBuf,
    _open: OwnedFd,
}

/// Makes a file, which is open for reading and writing, a block device.
///
/// # Errors
/// As open(2) of the devices and ioctl(2), with the device that it was.
pub fn attach(file: impl AsFd) -> Result<LoopDevice, (PathBuf, io::Error)> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let control_path = PathBuf::from("/dev/loop-control");
    let control = open(&control_path, flags, Mode::empty())
        .map_err(|error| (control_path.clone(), io::Error::from(error)))?;
    loop {
        // SAFETY: this request takes no argument, and answers with a number.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        if number < 0 {
            return Err((control_path, io::Error::last_os_error()));
        }
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = open(&path, flags, Mode::empty()).map_err(|error| (path.clone(), error.into()))?;
        match configure(&device, &file) {
            // Somebody else was faster.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err((path, error)),
            Ok(()) => return Ok(LoopDevice { path, _open: device }),
        }
    }
}

fn configure(device: &OwnedFd, file: impl AsFd) -> io::Result<()> {
    let information = Information {
        numbers: [0; 5],
        number: 0,
        unused: [0; 2],
        // Where the file system cannot do direct I/O the kernel does without.
        flags: LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO,
        names: [0; 160],
        rest: [0; 2],
    };
    let configuration = Configuration {
        file: u32::try_from(file.as_fd().as_raw_fd()).unwrap_or_default(),
        block_size: 0,
        information,
        reserved: [0; 8],
    };
    // SAFETY: the kernel reads one loop_config, which is laid out as it defines it and outlives the call.
    match unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const configuration) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_file_is_a_device_until_it_is_closed() {
        assert_eq!((size_of::<Information>(), size_of::<Configuration>()), (232, 304));
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"here", 0).unwrap();
        let device = attach(&file).unwrap();
        let mut found = [0; 4];
        std::fs::File::open(&device.path).unwrap().read_exact(&mut found).unwrap();
        assert_eq!(&found, b"here");
        let name = device.path.file_name().unwrap().to_owned();
        drop(device);
        let backing = std::path::Path::new("/sys/block").join(name).join("loop/backing_file");
        let attached = std::fs::read_to_string(backing).unwrap_or_default();
        assert!(!attached.contains("deleted") || !attached.contains("tmp"), "{attached}");
    }
}
