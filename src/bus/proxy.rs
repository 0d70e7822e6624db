//! Clients' view of what needs no permission: lists and signals. What else a client asks for may take a password, which
//! it sees to itself.

use super::wire::{ImageRow, JobRow, SocketRow, TimerRow, TransferRow, UnitRow};
use zbus::OwnedObjectPath;

/// The manager.
#[zbus::proxy(
    interface = "org.sampan1.Manager",
    default_service = "org.sampan1",
    default_path = "/org/sampan1"
)]
pub trait Manager {
    /// The object and the name of the unit that a process is in, and the id of its run.
    #[zbus(name = "GetUnitByPIDFD")]
    fn get_unit_by_pidfd(&self, process: &zbus::Fd<'_>) -> zbus::Result<(OwnedObjectPath, String, Vec<u8>)>;
    /// All units in memory.
    fn list_units(&self) -> zbus::Result<Vec<UnitRow>>;
    /// All sockets of loaded units.
    fn list_sockets(&self) -> zbus::Result<Vec<SocketRow>>;
    /// All timers of loaded units.
    fn list_timers(&self) -> zbus::Result<Vec<TimerRow>>;
    /// All jobs.
    fn list_jobs(&self) -> zbus::Result<Vec<JobRow>>;
    /// All images of the store.
    fn list_images(&self) -> zbus::Result<Vec<ImageRow>>;
    /// Those that names, patterns and ids mean.
    fn list_images_by_patterns(&self, patterns: &[String]) -> zbus::Result<Vec<ImageRow>>;
    /// All transfers of images.
    fn list_transfers(&self) -> zbus::Result<Vec<TransferRow>>;

    /// A job is over: `done`, `failed`, `canceled`, `timeout`, `dependency`, `skipped`.
    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: OwnedObjectPath, unit: String, result: String) -> zbus::Result<()>;
}
