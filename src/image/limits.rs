//! The budgets of an import: what an image may cost before it is refused.

use serde::{Deserialize, Serialize};

/// Budgets of one image. The administrator sets them in `sampan.toml(5)`; [`Limits::default`] is what holds without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Entries of all layers together.
    pub entries: u64,
    /// Layers of one image.
    pub layers: usize,
    /// Bytes of the names in all directories of the image's tree, which are kept in memory while layers fold.
    pub names: u64,
    /// Plain bytes of one layer.
    pub layer_bytes: u64,
    /// Bytes of holes in the sparse files of all layers together: they cost no space, but are hashed as zeros.
    pub holes: u64,
    /// Bytes of one extension record (PAX header, GNU long name).
    pub extension: u64,
    /// Bytes of a path.
    pub path: usize,
    /// Bytes of a name in a directory.
    pub name: usize,
    /// Directories below each other.
    pub depth: usize,
    /// Bytes of one extended attribute's value.
    pub attribute: usize,
    /// Plain bytes for one packed byte, once [`Limits::ratio_free`] is exceeded: gzip reaches 1032.
    pub ratio: u64,
    /// Plain bytes that no ratio is asked of.
    pub ratio_free: u64,
    /// Bytes of the window that a zstd stream asks its reader to keep in memory.
    pub window: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            layers: 1_000,
            names: 24 << 20,
            layer_bytes: 256 << 30,
            holes: 64 << 30,
            extension: 1 << 20,
            path: Self::KERNEL_PATH,
            name: Self::KERNEL_NAME,
            depth: 256,
            attribute: Self::KERNEL_ATTRIBUTE,
            ratio: 200,
            ratio_free: 256 << 20,
            window: 32 << 20,
        }
    }
}

impl Limits {
    /// Longest path that a system call takes, `PATH_MAX` without its NUL.
    pub const KERNEL_PATH: usize = 4095;
    /// Longest name that a file system keeps, `NAME_MAX`.
    pub const KERNEL_NAME: usize = 255;
    /// Largest extended attribute, xattr(7).
    pub const KERNEL_ATTRIBUTE: usize = 64 << 10;

    /// What the kernel itself allows: for what an import has accepted already, whatever its limits were then.
    pub fn of_the_kernel() -> Self {
        Self { depth: usize::MAX, names: u64::MAX, ..Self::default() }
    }
}
