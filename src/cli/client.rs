//! The connection to the manager, made only by verbs that need it.

use super::error::CliError;
use super::unit_properties::{UnitProperties, Values};
use crate::bus::proxy::ManagerProxy;
use crate::bus::wire::BUS_NAME;
use std::time::Duration;
use zbus::fdo::PropertiesProxy;
use zbus::names::InterfaceName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath, OwnedVariant};

/// How long a bus that is being restarted may take.
const BUS_DEADLINE: Duration = Duration::from_secs(10);

const UNIT_INTERFACE: &str = "org.sampan1.Unit";

/// The manager as a client sees it.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    /// Its methods and signals.
    pub manager: ManagerProxy<'static>,
}

/// Runs a conversation with the manager on a runtime of its own.
///
/// # Errors
/// When there is no bus, and whatever the conversation fails with.
pub fn talk<T>(conversation: impl AsyncFnOnce(&Client) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::connect().await?;
        conversation(&client).await
    })
}

impl Client {
    async fn connect() -> Result<Self, CliError> {
        let connection = match tokio::time::timeout(BUS_DEADLINE, Connection::system()).await {
            Ok(connection) => connection.map_err(CliError::of_connection)?,
            Err(_) => return Err(CliError::Bus { after: BUS_DEADLINE }),
        };
        let manager = ManagerProxy::builder(&connection).cache_properties(CacheProperties::No).build().await;
        Ok(Self { manager: manager.map_err(CliError::of_connection)?, connection })
    }

    /// The connection, for signals of any object.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The properties of a unit, which is loaded for it; `None` when it does not exist.
    ///
    /// # Errors
    /// When the manager cannot be reached or does not answer.
    pub async fn unit(&self, name: &str) -> Result<Option<UnitProperties>, CliError> {
        Ok(self.values(name).await?.map(|values| UnitProperties::new(&values)))
    }

    /// The same, as they travel.
    ///
    /// # Errors
    /// As [`Client::unit`].
    pub async fn values(&self, name: &str) -> Result<Option<Values>, CliError> {
        let action = format!("get properties of {name}");
        match self.all_values(name).await {
            Ok(values) => Ok(Some(values)),
            Err(error) if is_unknown(&error) => Ok(None),
            Err(error) => Err(CliError::of_call(&action, error)),
        }
    }

    async fn all_values(&self, name: &str) -> zbus::Result<Values> {
        let path = self.manager.load_unit(name).await?;
        let interface = InterfaceName::from_static_str_unchecked(UNIT_INTERFACE);
        let all = self.properties(path).await?.get_all(interface).await?;
        Ok(all
            .into_iter()
            .filter_map(|(name, value)| Some((name, super::unit_properties::value(&value)?)))
            .collect())
    }

    /// One property of a unit that is loaded.
    ///
    /// # Errors
    /// When the manager does not answer.
    pub async fn unit_property(&self, path: OwnedObjectPath, property: &str) -> zbus::Result<OwnedVariant> {
        let interface = InterfaceName::from_static_str_unchecked(UNIT_INTERFACE);
        Ok(self.properties(path).await?.get(interface, property).await?)
    }

    async fn properties(&self, path: OwnedObjectPath) -> zbus::Result<PropertiesProxy<'static>> {
        PropertiesProxy::builder(&self.connection)
            .destination(BUS_NAME)
            .path(path)
            .cache_properties(CacheProperties::No)
            .build()
            .await
    }
}

fn is_unknown(error: &zbus::Error) -> bool {
    match error {
        zbus::Error::FDO(error) => matches!(**error, zbus::fdo::Error::UnknownObject(_)),
        zbus::Error::MethodError(name, _, _) => name.as_str().ends_with(".NoSuchUnit"),
        _ => false,
    }
}
