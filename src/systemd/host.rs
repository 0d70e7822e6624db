//! What systemd knows of the host, and of this service.

use super::SystemdError;
use super::manager::{Systemd, property, refused};

impl Systemd {
    /// Reads all unit files again, as `systemctl daemon-reload`.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn reload(&self) -> Result<(), SystemdError> {
        self.within("systemd", "Reload", async |session| {
            session
                .ask(async |manager| manager.reload().await)
                .await
                .map_err(|error| refused("Reload", "systemd", &error))
        })
        .await
    }

    /// In what the host runs, systemd-detect-virt(1); empty for bare hardware.
    ///
    /// # Errors
    /// When systemd cannot be asked, or at the deadline.
    pub async fn virtualization(&self) -> Result<String, SystemdError> {
        self.within("systemd", "Get", async |session| {
            session
                .ask(async |manager| manager.virtualization().await)
                .await
                .map_err(|error| refused("Get", "Virtualization", &error))
        })
        .await
    }

    /// The variables that it gives to services.
    ///
    /// # Errors
    /// As [`Systemd::virtualization`].
    pub async fn environment(&self) -> Result<Vec<String>, SystemdError> {
        self.within("systemd", "Get", async |session| {
            session
                .ask(async |manager| manager.environment().await)
                .await
                .map_err(|error| refused("Get", "Environment", &error))
        })
        .await
    }

    /// `FileDescriptorStoreMax=` of the service that this process is.
    ///
    /// # Errors
    /// As [`Systemd::virtualization`], and where this process is no service.
    pub async fn descriptor_store_limit(&self) -> Result<usize, SystemdError> {
        let (call, unit) = ("GetUnitByPID", "sampand");
        self.within(unit, call, async |session| {
            let path = session.ask(async |manager| manager.get_unit_by_pid(std::process::id()).await).await;
            let path = path.map_err(|error| refused(call, unit, &error))?;
            let interface = "org.freedesktop.systemd1.Service";
            let limit: Option<u32> =
                property(&session, unit, path, interface, "FileDescriptorStoreMax").await?;
            Ok(limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX))
        })
        .await
    }
}
