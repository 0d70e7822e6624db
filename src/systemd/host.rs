//! What systemd knows of the host.

use super::SystemdError;
use super::manager::{Systemd, refused};

impl Systemd {
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
