//! The budgets of an import: what an image may cost before it is refused.

/// Budgets of one image; [`Limits::default`] is what the importer uses.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Entries of all layers together.
    pub entries: u64,
    /// Plain bytes of one layer.
    pub layer_bytes: u64,
    /// Bytes of holes in the sparse files of one layer: they cost no space, but are hashed as zeros.
    pub holes: u64,
    /// Bytes of one extension record (PAX header, GNU long name).
    pub extension: u64,
    /// Bytes of a path, as `PATH_MAX` without its NUL.
    pub path: usize,
    /// Bytes of a name in a directory, `NAME_MAX`.
    pub name: usize,
    /// Directories below each other.
    pub depth: usize,
    /// Bytes of one extended attribute's value, as xattr(7).
    pub attribute: usize,
    /// Plain bytes for one packed byte, once [`Limits::ratio_free`] is exceeded: gzip reaches 1032.
    pub ratio: u64,
    /// Plain bytes that no ratio is asked of.
    pub ratio_free: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 2_000_000,
            layer_bytes: 256 << 30,
            holes: 64 << 30,
            extension: 1 << 20,
            path: 4095,
            name: 255,
            depth: 256,
            attribute: 64 << 10,
            ratio: 200,
            ratio_free: 256 << 20,
        }
    }
}
