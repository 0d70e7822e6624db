//! What systemd knows of the host.

use super::SystemdError;
use super::manager::{Systemd, refused};

impl Systemd {
    /// Reads all unit files again, as `systemctl daemon-reload`.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn reload(&self) -> Result<(), SystemdError> {
        self.within("systemd", "Reload", async |session| {
            session.manager.reload().await.map_err(|error| refused("Reload", "systemd", &error))
        })
        .await
    }

    /// In what the host runs, systemd-detect-virt(1); empty for bare hardware.
    ///
    /// # Errors
    /// When systemd cannot be asked, or at the deadline.
    pub async fn virtualization(&self) -> Result<String, SystemdError> {
        self.within("systemd", "Get", async |session| {
            session.manager.virtualization().await.map_err(|error| refused("Get", "Virtualization", &error))
        })
        .await
    }

    /// The variables that it gives to services.
    ///
    /// # Errors
    /// As [`Systemd::virtualization`].
    pub async fn environment(&self) -> Result<Vec<String>, SystemdError> {
        self.within("systemd", "Get", async |session| {
            session.manager.environment().await.map_err(|error| refused("Get", "Environment", &error))
        })
        .await
    }
}
