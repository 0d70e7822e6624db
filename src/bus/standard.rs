//! The interfaces that every object has, by the D-Bus specification: `Peer`, `Introspectable` and `Properties`.

use super::call::Call;
use super::error::BusError;
use super::interface::{Answer, Pending, Values};
use super::object::{Folder, Object};
use super::serve;
use super::wire::dictionary;
use zbus::Message;

/// As every object has them.
const INTERFACES: &str = r#" <interface name="org.freedesktop.DBus.Peer">
  <method name="Ping"/>
  <method name="GetMachineId">
   <arg name="machine_uuid" type="s" direction="out"/>
  </method>
 </interface>
 <interface name="org.freedesktop.DBus.Introspectable">
  <method name="Introspect">
   <arg name="data" type="s" direction="out"/>
  </method>
 </interface>
 <interface name="org.freedesktop.DBus.Properties">
  <method name="Get">
   <arg name="interface_name" type="s" direction="in"/>
   <arg name="property_name" type="s" direction="in"/>
   <arg name="value" type="v" direction="out"/>
  </method>
  <method name="GetAll">
   <arg name="interface_name" type="s" direction="in"/>
   <arg name="props" type="a{sv}" direction="out"/>
  </method>
  <method name="Set">
   <arg name="interface_name" type="s" direction="in"/>
   <arg name="property_name" type="s" direction="in"/>
   <arg name="value" type="v" direction="in"/>
  </method>
  <signal name="PropertiesChanged">
   <arg name="interface_name" type="s"/>
   <arg name="changed_properties" type="a{sv}"/>
   <arg name="invalidated_properties" type="as"/>
  </signal>
 </interface>
"#;

const HEAD: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"
 \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n";

/// The answer to a call of one of these interfaces; `None` where it is for another one.
pub(super) fn answer(
    call: &Call,
    interface: Option<&str>,
    path: &str,
    member: &str,
) -> Result<Option<Pending<Answer<Message>>>, BusError> {
    let (call, path) = (call.clone(), path.to_owned());
    let answer: Pending<Answer<Message>> = match (interface, member) {
        (Some("org.freedesktop.DBus.Peer"), "Ping") => ready(async move { call.answer(&()) }),
        (Some("org.freedesktop.DBus.Peer"), "GetMachineId") => ready(machine_id(call)),
        (Some("org.freedesktop.DBus.Introspectable"), "Introspect") => ready(introspect(call, path)),
        (Some("org.freedesktop.DBus.Properties"), "Get") => Box::pin(get(call, path)),
        (Some("org.freedesktop.DBus.Properties"), "GetAll") => Box::pin(get_all(call, path)),
        (Some("org.freedesktop.DBus.Properties"), "Set") => {
            return Err(BusError::PropertyReadOnly(
                "Properties are read-only: see SetUnitProperties.".into(),
            ));
        }
        (Some(standard), _) if standard.starts_with("org.freedesktop.DBus.") => {
            return Err(BusError::UnknownMethod(format!("Unknown method {standard}.{member}.")));
        }
        _ => return Ok(None),
    };
    Ok(Some(answer))
}

fn ready(answer: impl Future<Output = Result<Message, BusError>> + 'static) -> Pending<Answer<Message>> {
    Box::pin(async move { answer.await.map(Answer::Ready) })
}

async fn machine_id(call: Call) -> Result<Message, BusError> {
    let id = call.with(|manager| std::fs::read_to_string(manager.paths().machine_id())).await?;
    let id = id.map_err(|error| BusError::Failed(format!("machine id: {error}")))?;
    call.answer(&(id.trim(),))
}

async fn get(call: Call, path: String) -> Result<Answer<Message>, BusError> {
    let (interface, property) = call.arguments::<(String, String)>()?;
    serve::read(call.clone(), path, interface, Some(property)).await?.map(move |values: Values| {
        let value = values.into_iter().next().map(|(_, value)| value);
        let value = value.ok_or_else(|| BusError::UnknownProperty("The object is gone.".into()))?;
        call.answer(&(super::wire::variant(value),))
    })
}

async fn get_all(call: Call, path: String) -> Result<Answer<Message>, BusError> {
    let (interface,) = call.arguments::<(String,)>()?;
    let values = serve::read(call.clone(), path, interface, None).await?;
    values.map(move |values| call.answer(&(dictionary(values),)))
}

async fn introspect(call: Call, path: String) -> Result<Message, BusError> {
    let (object, folder) = (Object::find(&path), Folder::find(&path));
    let mut xml = String::from(HEAD);
    xml.push_str(INTERFACES);
    match (&object, folder) {
        (Ok(object), _) => object.describe(&call.shared.interfaces, &mut xml),
        (Err(_), Some(_)) => {}
        (Err(error), None) => return Err(error.clone()),
    }
    if let Some(folder) = folder {
        for child in call.with(move |manager| folder.children(manager)).await? {
            xml.push_str(&format!(" <node name=\"{child}\"/>\n"));
        }
    }
    xml.push_str("</node>\n");
    call.answer(&(xml,))
}
