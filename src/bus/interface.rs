//! What an interface is: its methods, properties and signals in one table. Calls are dispatched by it and the
//! introspection is written from it, so that neither can say what the other does not.

use super::call::Call;
use super::error::BusError;
use crate::manager::view::{Change, Shape, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use zbus::{Message, Signature, Type};

/// What comes of a call, later.
pub(super) type Pending<T> = Pin<Box<dyn Future<Output = Result<T, BusError>>>>;

type Run<S> = Box<dyn Fn(S, Call) -> Pending<Message>>;
type Read<S> = Box<dyn Fn(S, Call, Which) -> Pending<Vec<(&'static str, Value)>>>;

/// Which properties are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Which {
    /// One.
    One(&'static str),
    /// All.
    All,
}

impl Which {
    /// Whether this property is read.
    pub(super) fn wants(&self, property: &str) -> bool {
        match self {
            Self::One(name) => *name == property,
            Self::All => true,
        }
    }
}

/// How long the answer to a method may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// It is there at once: calls of this kind are answered one after the other.
    AtOnce,
    /// Others are asked before: polkit, systemd, a container.
    Later,
}

/// Name and type of one argument.
#[derive(Debug)]
struct Argument {
    name: &'static str,
    signature: String,
}

/// One method.
pub(super) struct Method<S> {
    name: &'static str,
    takes: Vec<Argument>,
    gives: Vec<Argument>,
    pub(super) pace: Pace,
    pub(super) run: Run<S>,
}

/// One signal.
#[derive(Debug)]
struct Signal {
    name: &'static str,
    arguments: Vec<Argument>,
}

/// One interface of objects that `S` tells apart.
pub(super) struct Interface<S> {
    /// `org.sampan1.Manager`.
    pub(super) name: &'static str,
    methods: Vec<Method<S>>,
    properties: Vec<Shape>,
    pub(super) read: Read<S>,
    signals: Vec<Signal>,
}

impl<S: 'static> Interface<S> {
    /// An interface with nothing in it.
    pub(super) fn new(name: &'static str) -> Self {
        let read: Read<S> = Box::new(|_, _, _| Box::pin(async { Ok(Vec::new()) }));
        Self { name, methods: Vec::new(), properties: Vec::new(), read, signals: Vec::new() }
    }

    /// Adds a method that answers at once. `In` and `Out` are tuples.
    pub(super) fn look<In, Out, F>(
        self,
        name: &'static str,
        takes: &[&'static str],
        gives: &[&'static str],
        run: impl Fn(S, Call, In) -> F + Clone + 'static,
    ) -> Self
    where
        In: DeserializeOwned + Type + 'static,
        Out: Serialize + Type,
        F: Future<Output = Result<Out, BusError>> + 'static,
    {
        self.method(Pace::AtOnce, name, takes, gives, run)
    }

    /// Adds a method whose answer takes time, because somebody is asked before.
    pub(super) fn act<In, Out, F>(
        self,
        name: &'static str,
        takes: &[&'static str],
        gives: &[&'static str],
        run: impl Fn(S, Call, In) -> F + Clone + 'static,
    ) -> Self
    where
        In: DeserializeOwned + Type + 'static,
        Out: Serialize + Type,
        F: Future<Output = Result<Out, BusError>> + 'static,
    {
        self.method(Pace::Later, name, takes, gives, run)
    }

    fn method<In, Out, F>(
        mut self,
        pace: Pace,
        name: &'static str,
        takes: &[&'static str],
        gives: &[&'static str],
        run: impl Fn(S, Call, In) -> F + Clone + 'static,
    ) -> Self
    where
        In: DeserializeOwned + Type + 'static,
        Out: Serialize + Type,
        F: Future<Output = Result<Out, BusError>> + 'static,
    {
        let run: Run<S> = Box::new(move |subject, call| {
            let run = run.clone();
            Box::pin(async move {
                let arguments = call.arguments::<In>()?;
                let answer = run(subject, call.clone(), arguments).await?;
                call.answer(&answer)
            })
        });
        let (takes, gives) = (arguments::<In>(takes), arguments::<Out>(gives));
        self.methods.push(Method { name, takes, gives, pace, run });
        self
    }

    /// Sets the properties and how they are read.
    pub(super) fn properties<F>(
        mut self,
        shapes: impl Iterator<Item = Shape>,
        read: impl Fn(S, Call, Which) -> F + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Vec<(&'static str, Value)>, BusError>> + 'static,
    {
        self.properties = shapes.collect();
        self.read = Box::new(move |subject, call, which| Box::pin(read(subject, call, which)));
        self
    }

    /// Adds a signal.
    pub(super) fn signal<Body: Type>(mut self, name: &'static str, names: &[&'static str]) -> Self {
        self.signals.push(Signal { name, arguments: arguments::<Body>(names) });
        self
    }

    /// The method of this name.
    pub(super) fn method_named(&self, name: &str) -> Option<&Method<S>> {
        self.methods.iter().find(|method| method.name == name)
    }

    /// The name of a property, if there is one like this.
    pub(super) fn property_named(&self, name: &str) -> Option<&'static str> {
        self.properties.iter().find(|shape| shape.name == name).map(|shape| shape.name)
    }

    /// Writes the interface as the D-Bus specification has introspection data.
    pub(super) fn describe(&self, xml: &mut String) {
        // Writing to a string cannot fail.
        let _ = writeln!(xml, " <interface name=\"{}\">", self.name);
        for method in &self.methods {
            let _ = writeln!(xml, "  <method name=\"{}\">", method.name);
            describe(xml, &method.takes, " direction=\"in\"");
            describe(xml, &method.gives, " direction=\"out\"");
            xml.push_str("  </method>\n");
        }
        for property in &self.properties {
            let Shape { name, signature, change } = property;
            let _ = writeln!(xml, "  <property name=\"{name}\" type=\"{signature}\" access=\"read\">");
            let _ = writeln!(
                xml,
                "   <annotation name=\"org.freedesktop.DBus.Property.EmitsChangedSignal\" value=\"{}\"/>",
                annotation(*change)
            );
            xml.push_str("  </property>\n");
        }
        for signal in &self.signals {
            let _ = writeln!(xml, "  <signal name=\"{}\">", signal.name);
            describe(xml, &signal.arguments, "");
            xml.push_str("  </signal>\n");
        }
        xml.push_str(" </interface>\n");
    }
}

fn annotation(change: Change) -> &'static str {
    match change {
        Change::Told => "true",
        Change::Never => "const",
        Change::Untold => "false",
    }
}

fn describe(xml: &mut String, arguments: &[Argument], direction: &str) {
    for Argument { name, signature } in arguments {
        let _ = writeln!(xml, "   <arg name=\"{name}\" type=\"{signature}\"{direction}/>");
    }
}

/// Names the fields of a tuple.
fn arguments<Tuple: Type>(names: &[&'static str]) -> Vec<Argument> {
    let signatures: Vec<String> = match Tuple::SIGNATURE {
        Signature::Unit => Vec::new(),
        Signature::Structure(fields) => fields.iter().map(ToString::to_string).collect(),
        other => vec![other.to_string()],
    };
    debug_assert_eq!(names.len(), signatures.len(), "each argument has a name: {names:?}");
    let named = names.iter().zip(signatures);
    named.map(|(name, signature)| Argument { name, signature }).collect()
}
