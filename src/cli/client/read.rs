//! What clients read. It may be asked for twice, so each reader asks again where the manager is restarted meanwhile.

use super::link::Link;
use super::{Client, again, talk};
use crate::bus::wire::{BUS_NAME, JobRow, MANAGER_PATH, UnitRow, labelled, unit_path};
use crate::cli::error::CliError;
use crate::cli::unit_properties::{UnitProperties, Value, Values, value};
use crate::sys::pidfd;
use crate::unit::name::DEFAULT_TARGET;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use zbus::fdo::PropertiesProxy;
use zbus::names::InterfaceName;
use zbus::proxy::CacheProperties;
use zbus::{OwnedObjectPath, OwnedVariant};

const MANAGER_INTERFACE: &str = "org.sampan1.Manager";
const UNIT_INTERFACE: &str = "org.sampan1.Unit";
const NO_UNIT_FOR_PID: &str = "org.sampan1.Error.NoUnitForPID";

/// The names of the properties of units, as the running manager has them; none when it does not run, or takes its
/// time. A key press never starts it.
pub fn property_names() -> Vec<String> {
    const PATIENCE: Duration = Duration::from_millis(500);
    let asked = async |client: &Client| {
        if !client.is_running().await {
            return Ok(Vec::new());
        }
        let values = client.values_of(unit_path(DEFAULT_TARGET), UNIT_INTERFACE).await?;
        let unit = client
            .ask(async |manager| manager.list_units().await)
            .await?
            .into_iter()
            .find(|unit| unit.name.ends_with(".container"));
        let more = match unit {
            Some(unit) => client.values_of(unit.path, UNIT_INTERFACE).await?,
            None => Values::new(),
        };
        Ok(values.into_keys().chain(more.into_keys()).collect::<BTreeSet<_>>().into_iter().collect())
    };
    let names = talk(async |client| Ok(tokio::time::timeout(PATIENCE, asked(client)).await));
    names
        .ok()
        .and_then(Result::ok)
        .and_then(|names: zbus::Result<Vec<String>>| names.ok())
        .unwrap_or_default()
}

impl Client {
    /// All units in memory.
    ///
    /// # Errors
    /// When the manager cannot be reached.
    pub async fn list_units(&self) -> Result<Vec<UnitRow>, CliError> {
        let failed = |error| CliError::of_call("list units", error);
        again(async || self.ask(async |manager| manager.list_units().await).await.map_err(failed)).await
    }

    /// The unit that a process is in.
    ///
    /// # Errors
    /// When it is in none, or the manager cannot be reached.
    pub async fn unit_of_process(&self, pid: u32) -> Result<String, CliError> {
        let process = pidfd::open(pid).map_err(|_| CliError::NoUnitOfProcess { pid })?;
        let failed = |error| match error {
            zbus::Error::MethodError(name, ..) if name == NO_UNIT_FOR_PID => {
                CliError::NoUnitOfProcess { pid }
            }
            error => CliError::of_call(&format!("get unit for PID {pid}"), error),
        };
        let process = zbus::Fd::from(&process);
        let asked = async || self.ask(async |manager| manager.get_unit_by_pidfd(&process).await).await;
        let (_, name, _) = again(async || asked().await.map_err(failed)).await?;
        Ok(name)
    }

    /// All jobs.
    ///
    /// # Errors
    /// When the manager cannot be reached.
    pub async fn list_jobs(&self) -> Result<Vec<JobRow>, CliError> {
        let failed = |error| CliError::of_call("list jobs", error);
        again(async || self.ask(async |manager| manager.list_jobs().await).await.map_err(failed)).await
    }

    /// The properties of a unit, which is loaded for it, also of one that does not exist.
    ///
    /// # Errors
    /// When the manager cannot be reached or does not answer.
    pub async fn unit(&self, name: &str) -> Result<UnitProperties, CliError> {
        Ok(UnitProperties::new(&self.values(name).await?))
    }

    /// The same, as they travel.
    ///
    /// # Errors
    /// As [`Client::unit`].
    pub async fn values(&self, name: &str) -> Result<Values, CliError> {
        let failed = |error| CliError::of_call(&format!("get properties of {name}"), error);
        again(async || self.values_of(unit_path(name), UNIT_INTERFACE).await.map_err(failed)).await
    }

    /// The properties of the manager.
    ///
    /// # Errors
    /// When the manager cannot be reached or does not answer.
    pub async fn manager_values(&self) -> Result<Values, CliError> {
        let failed = |error| CliError::of_call("get properties of sampand", error);
        let path = OwnedObjectPath::try_from(MANAGER_PATH).unwrap_or_default();
        again(async || self.values_of(path.clone(), MANAGER_INTERFACE).await.map_err(failed)).await
    }

    async fn values_of(&self, path: OwnedObjectPath, interface: &'static str) -> zbus::Result<Values> {
        let interface = InterfaceName::from_static_str_unchecked(interface);
        let all = self.properties(path, async |unit| Ok(unit.get_all(interface).await?)).await?;
        Ok(all.into_iter().filter_map(|(name, value)| Some((name, self::value(&value)?))).collect())
    }

    /// One property of a unit that is loaded.
    ///
    /// # Errors
    /// When the manager does not answer.
    pub async fn unit_property(&self, path: OwnedObjectPath, property: &str) -> zbus::Result<OwnedVariant> {
        let interface = InterfaceName::from_static_str_unchecked(UNIT_INTERFACE);
        self.properties(path, async |unit| Ok(unit.get(interface, property).await?)).await
    }

    /// The labels of a container that runs, or of its unit; a target has none, nor has a unit that is gone meanwhile.
    ///
    /// # Errors
    /// When the manager leaves before it answers.
    pub async fn labels(&self, row: &UnitRow) -> Result<BTreeMap<String, String>, CliError> {
        let failed = |error| CliError::of_call(&format!("get labels of {}", row.name), error);
        match self.unit_property(row.path.clone(), "Labels").await.map_err(failed) {
            Ok(labels) => Ok(value(&labels).and_then(Value::words).unwrap_or_default()),
            Err(CliError::Refused { .. }) => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }

    /// The `ActiveState` of a unit of systemd's own; `None` when systemd does not tell it.
    pub async fn native_state(&self, name: &str) -> Option<String> {
        const SYSTEMD: &str = "org.freedesktop.systemd1";
        let interface = InterfaceName::from_static_str_unchecked("org.freedesktop.systemd1.Unit");
        let path = labelled("/org/freedesktop/systemd1/unit", name);
        let unit = properties_at(self.over_bus().await.ok()?, SYSTEMD, path).await.ok()?;
        String::try_from(unit.get(interface, "ActiveState").await.ok()?).ok()
    }

    async fn properties<T>(
        &self,
        path: OwnedObjectPath,
        read: impl AsyncFnOnce(&PropertiesProxy<'static>) -> zbus::Result<T>,
    ) -> zbus::Result<T> {
        let link = self.link().await?;
        let properties = properties_at(link, BUS_NAME, path).await?;
        read(&properties).await.map_err(|error| link.told(error))
    }
}

async fn properties_at(
    link: &Link,
    service: &'static str,
    path: OwnedObjectPath,
) -> zbus::Result<PropertiesProxy<'static>> {
    let properties = PropertiesProxy::builder(&link.connection).destination(service).path(path);
    properties.cache_properties(CacheProperties::No).build().await
}
