//! Clients' view of our interfaces; `sampanctl` uses it.

use super::wire::{DefinitionRow, ImageRow, JobRow, SocketRow, TransferRow, UnitRow};
use std::collections::HashMap;
use zbus::{Fd, OwnedObjectPath, Variant};

/// The manager.
#[zbus::proxy(
    interface = "org.sampan1.Manager",
    default_service = "org.sampan1",
    default_path = "/org/sampan1"
)]
pub trait Manager {
    /// Has signals sent for as long as this connection lasts.
    fn subscribe(&self) -> zbus::Result<()>;
    /// Starts a unit and what it needs. `mode` is `replace` or `fail`. The answer is the job.
    #[zbus(allow_interactive_auth)]
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    /// Stops a unit and what needs it.
    #[zbus(allow_interactive_auth)]
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    /// Stops and starts a unit; starts it where it is not running.
    #[zbus(allow_interactive_auth)]
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    /// Restarts a unit only where it is active; else the job is done at once.
    #[zbus(allow_interactive_auth)]
    fn try_restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    /// Makes a unit of the text of its file, and starts it; it is gone once it has ended. `stdio` is empty, or the
    /// standard input, output and error of its first run. A fourth is a leash, a stream socket: each byte is the number
    /// of a signal for the main process, its end stops the unit, and while it is open the unit stays in memory.
    #[zbus(allow_interactive_auth)]
    fn start_transient_unit(
        &self,
        name: &str,
        mode: &str,
        definition: &str,
        stdio: Vec<Fd<'_>>,
    ) -> zbus::Result<OwnedObjectPath>;
    /// Gives a unit that was made for one start another leash, after that of an earlier manager.
    #[zbus(allow_interactive_auth)]
    fn hold_unit(&self, name: &str, leash: Fd<'_>) -> zbus::Result<()>;
    /// Sends a signal. `whom` is `main` or `all`.
    #[zbus(allow_interactive_auth)]
    fn kill_unit(&self, name: &str, whom: &str, signal: i32) -> zbus::Result<()>;
    /// Forgets that a unit failed, and its start limit.
    #[zbus(allow_interactive_auth)]
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    /// Forgets all failures.
    #[zbus(allow_interactive_auth)]
    fn reset_failed(&self) -> zbus::Result<()>;
    /// Reads all unit files again.
    #[zbus(allow_interactive_auth)]
    fn reload(&self) -> zbus::Result<()>;
    /// The object of a unit, which is loaded where it is not yet.
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    /// All units in memory.
    fn list_units(&self) -> zbus::Result<Vec<UnitRow>>;
    /// All sockets of loaded units.
    fn list_sockets(&self) -> zbus::Result<Vec<SocketRow>>;
    /// All jobs.
    fn list_jobs(&self) -> zbus::Result<Vec<JobRow>>;
    /// Has the manager pull an image. The answer is the transfer.
    #[zbus(allow_interactive_auth)]
    fn pull_image(&self, image: &str, options: HashMap<&str, Variant<'_>>) -> zbus::Result<OwnedObjectPath>;
    /// Has the manager import what a descriptor gives. The answer is the transfer.
    #[zbus(allow_interactive_auth)]
    fn import_image(
        &self,
        file: Fd<'_>,
        name: &str,
        options: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<OwnedObjectPath>;
    /// All images of the store.
    fn list_images(&self) -> zbus::Result<Vec<ImageRow>>;
    /// Those that names, patterns and ids mean.
    fn list_images_by_patterns(&self, patterns: &[String]) -> zbus::Result<Vec<ImageRow>>;
    /// Removes a name or an image. The answer is what is gone.
    #[zbus(allow_interactive_auth)]
    fn remove_image(&self, image: &str, options: HashMap<&str, Variant<'_>>) -> zbus::Result<Vec<String>>;
    /// Gives an image another name. The answer is its id.
    #[zbus(allow_interactive_auth)]
    fn tag_image(&self, image: &str, name: &str) -> zbus::Result<String>;
    /// All transfers.
    fn list_transfers(&self) -> zbus::Result<Vec<TransferRow>>;
    /// Runs a command in a running container with three descriptors as its standard input, output and error, and
    /// answers when it has ended. A fourth is a leash, a stream socket: each byte is the number of a signal for the command,
    /// and its end is the command's. The answer is the `CLD_*` code and the status, waitid(2). `user` and
    /// `directory` are empty for the container's own.
    #[zbus(allow_interactive_auth)]
    fn exec(
        &self,
        name: &str,
        command: &[&str],
        environment: &[&str],
        user: &str,
        directory: &str,
        stdio: Vec<Fd<'_>>,
    ) -> zbus::Result<(i32, i32)>;
    /// The version of each unit in memory that rules, as JSON.
    fn get_unit_definitions(&self) -> zbus::Result<Vec<DefinitionRow>>;
    /// The launch plan of a unit, as JSON.
    #[zbus(allow_interactive_auth)]
    fn plan(&self, name: &str) -> zbus::Result<String>;

    /// A job was made.
    #[zbus(signal)]
    fn job_new(&self, id: u32, job: OwnedObjectPath, unit: String) -> zbus::Result<()>;
    /// A job is over: `done`, `failed`, `canceled`, `timeout`, `dependency`, `skipped`.
    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: OwnedObjectPath, unit: String, result: String) -> zbus::Result<()>;

    /// Version of the running manager.
    #[zbus(property)]
    fn version(&self) -> zbus::Result<String>;
}
