//! The object of one unit: interface `org.sampan1.Unit`, read-only properties from one table.

use crate::manager::driver::ManagerHandle;
use crate::manager::view::{Property, Value};
use crate::unit::name::UnitName;
use async_trait::async_trait;
use std::collections::HashMap;
use std::fmt::Write;
use zbus::message::{Header, Message};
use zbus::names::{InterfaceName, MemberName};
use zbus::object_server::{DispatchResult, Interface, SignalEmitter};
use zbus::{BoxDBusError, Connection, ObjectServer, OwnedVariant, Variant, fdo};

/// The interface of a unit's object.
pub const INTERFACE: &str = "org.sampan1.Unit";

/// One unit on the bus.
#[derive(Debug)]
pub struct UnitObject {
    name: UnitName,
    manager: ManagerHandle,
    signatures: Vec<(&'static str, &'static str)>,
}

impl UnitObject {
    /// The object of a unit; `properties` tell the types.
    pub fn new(name: UnitName, manager: ManagerHandle, properties: &[Property]) -> Self {
        let signatures = properties.iter().map(|(name, value)| (*name, signature(value))).collect();
        Self { name, manager, signatures }
    }
}

fn signature(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "s",
        Value::List(_) => "as",
        Value::Unsigned(_) => "u",
        Value::Signed(_) => "i",
        Value::Large(_) => "t",
        Value::Flag(_) => "b",
    }
}

fn variant(value: Value) -> fdo::Result<OwnedVariant> {
    let variant = match value {
        Value::Text(text) => Variant::from(text),
        Value::List(list) => Variant::from(list),
        Value::Unsigned(number) => Variant::from(number),
        Value::Signed(number) => Variant::from(number),
        Value::Large(number) => Variant::from(number),
        Value::Flag(flag) => Variant::from(flag),
    };
    variant.try_into().map_err(|error| fdo::Error::Failed(format!("property: {error}")))
}

/// A dictionary of properties as the bus carries it.
///
/// # Errors
/// When a value cannot be encoded.
pub fn dictionary(properties: Vec<Property>) -> fdo::Result<HashMap<String, OwnedVariant>> {
    properties.into_iter().map(|(name, value)| Ok((name.to_owned(), variant(value)?))).collect()
}

#[async_trait]
impl Interface for UnitObject {
    fn name() -> InterfaceName<'static> {
        InterfaceName::from_static_str_unchecked(INTERFACE)
    }

    async fn get(
        &self,
        property: &str,
        _server: &ObjectServer,
        _connection: &Connection,
        _header: Option<&Header<'_>>,
        _emitter: &SignalEmitter<'_>,
    ) -> Option<Result<OwnedVariant, BoxDBusError>> {
        let properties = self.manager.properties(self.name.clone()).await?;
        let (_, value) = properties.into_iter().find(|(name, _)| *name == property)?;
        Some(variant(value).map_err(|error| Box::new(error) as BoxDBusError))
    }

    async fn get_all(
        &self,
        _server: &ObjectServer,
        _connection: &Connection,
        _header: Option<&Header<'_>>,
        _emitter: &SignalEmitter<'_>,
    ) -> fdo::Result<HashMap<String, OwnedVariant>> {
        let unknown = || fdo::Error::UnknownObject(format!("Unit {} is gone.", self.name));
        dictionary(self.manager.properties(self.name.clone()).await.ok_or_else(unknown)?)
    }

    async fn set_mut(
        &mut self,
        _property: &str,
        _value: &Variant<'_>,
        _server: &ObjectServer,
        _connection: &Connection,
        _header: Option<&Header<'_>>,
        _emitter: &SignalEmitter<'_>,
    ) -> Option<Result<(), BoxDBusError>> {
        None
    }

    fn call<'call>(
        &'call self,
        _server: &'call ObjectServer,
        _connection: &'call Connection,
        _message: &'call Message,
        _name: MemberName<'call>,
    ) -> DispatchResult<'call> {
        DispatchResult::NotFound
    }

    fn call_mut<'call>(
        &'call mut self,
        _server: &'call ObjectServer,
        _connection: &'call Connection,
        _message: &'call Message,
        _name: MemberName<'call>,
    ) -> DispatchResult<'call> {
        DispatchResult::NotFound
    }

    fn introspect_to_writer(&self, writer: &mut dyn Write, level: usize) {
        // Writing to the string behind `writer` cannot fail.
        let _ = writeln!(writer, "{:level$}<interface name=\"{INTERFACE}\">", "");
        for (name, signature) in &self.signatures {
            let _ = writeln!(
                writer,
                "{:level$}  <property name=\"{name}\" type=\"{signature}\" access=\"read\"/>",
                ""
            );
        }
        let _ = writeln!(writer, "{:level$}</interface>", "");
    }
}
