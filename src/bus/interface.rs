//! What an interface is: its methods, properties and signals in one table. Calls are dispatched by it and the
//! introspection is written from it, so that neither can say what the other does not.

use super::call::Call;
use super::error::BusError;
use crate::manager::driver::Manager;
use crate::manager::view::{Change, Shape, Value, Viewer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use zbus::{Message, Signature, Type};

/// What comes of a call, later.
pub(super) type Pending<T> = Pin<Box<dyn Future<Output = Result<T, BusError>>>>;

/// What has come of a call by the time that the next one is taken.
pub(super) enum Answer<T> {
    /// All of it.
    Ready(T),
    /// Others are asked before: polkit, systemd, a container. Only who called waits for them.
    Later(Pending<T>),
}

impl<T: 'static> Answer<T> {
    /// Makes something of it once it is there.
    pub(super) fn map<U>(
        self,
        make: impl FnOnce(T) -> Result<U, BusError> + 'static,
    ) -> Result<Answer<U>, BusError> {
        Ok(match self {
            Self::Ready(answer) => Answer::Ready(make(answer)?),
            Self::Later(answer) => Answer::Later(Box::pin(async move { make(answer.await?) })),
        })
    }
}

/// Properties and their values.
pub(super) type Values = Vec<(&'static str, Value)>;

/// What a look at the manager finds of properties.
pub(super) enum Found {
    /// All that was asked for.
    All(Values),
    /// Somebody else knows a part of it.
    Part(Box<dyn FnOnce(Call) -> Pending<Values> + Send>),
}

type Run<S> = Box<dyn Fn(S, Call) -> Pending<Answer<Message>>>;
type Read<S> = Box<dyn Fn(S, Call, Which) -> Pending<Answer<Values>>>;

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

/// Who reads properties, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reader {
    pub(super) viewer: Viewer,
    pub(super) which: Which,
}

impl Reader {
    /// Those of the values that are read.
    pub(super) fn pick(&self, mut values: Values) -> Values {
        values.retain(|(name, _)| self.which.wants(name));
        values
    }
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

impl<S: Send + 'static> Interface<S> {
    /// An interface with nothing in it.
    pub(super) fn new(name: &'static str) -> Self {
        let read: Read<S> = Box::new(|_, _, _| Box::pin(async { Ok(Answer::Ready(Vec::new())) }));
        Self { name, methods: Vec::new(), properties: Vec::new(), read, signals: Vec::new() }
    }

    /// Adds a method that looks at the manager. Calls are answered one after the other, so it cannot wait for
    /// anybody else. `In` and `Out` are tuples.
    pub(super) fn look<In, Out>(
        self,
        name: &'static str,
        takes: &[&'static str],
        gives: &[&'static str],
        look: impl Fn(S, &mut Manager, In) -> Result<Out, BusError> + Clone + Send + 'static,
    ) -> Self
    where
        In: DeserializeOwned + Type + Send + 'static,
        Out: Serialize + Type + Send + 'static,
    {
        let run: Run<S> = Box::new(move |subject, call| {
            let look = look.clone();
            Box::pin(async move {
                let arguments = call.arguments::<In>()?;
                let answer = call.with(move |manager| look(subject, manager, arguments)).await??;
                Ok(Answer::Ready(call.answer(&answer)?))
            })
        });
        self.method(name, arguments::<In>(takes), arguments::<Out>(gives), run)
    }

    /// Adds a method about the caller alone, of which the manager knows nothing.
    pub(super) fn note(
        self,
        name: &'static str,
        note: impl Fn(&Call) -> Result<(), BusError> + Copy + 'static,
    ) -> Self {
        let run: Run<S> = Box::new(move |_, call| {
            Box::pin(async move {
                call.arguments::<()>()?;
                note(&call)?;
                Ok(Answer::Ready(call.answer(&())?))
            })
        });
        self.method(name, Vec::new(), Vec::new(), run)
    }

    /// Adds a method whose answer takes time, because somebody is asked before.
    pub(super) fn act<In, Out, F>(
        self,
        name: &'static str,
        takes: &[&'static str],
        gives: &[&'static str],
        act: impl Fn(S, Call, In) -> F + Clone + 'static,
    ) -> Self
    where
        In: DeserializeOwned + Type + 'static,
        Out: Serialize + Type,
        F: Future<Output = Result<Out, BusError>> + 'static,
    {
        let run: Run<S> = Box::new(move |subject, call| {
            let act = act.clone();
            let answer: Pending<Message> = Box::pin(async move {
                let arguments = call.arguments::<In>()?;
                let answer = act(subject, call.clone(), arguments).await?;
                call.answer(&answer)
            });
            Box::pin(async move { Ok(Answer::Later(answer)) })
        });
        self.method(name, arguments::<In>(takes), arguments::<Out>(gives), run)
    }

    fn method(mut self, name: &'static str, takes: Vec<Argument>, gives: Vec<Argument>, run: Run<S>) -> Self {
        self.methods.push(Method { name, takes, gives, run });
        self
    }

    /// Sets the properties and how they are read.
    pub(super) fn properties(
        mut self,
        shapes: impl Iterator<Item = Shape>,
        look: impl Fn(S, &mut Manager, Reader) -> Result<Found, BusError> + Clone + Send + 'static,
    ) -> Self {
        self.properties = shapes.collect();
        self.read = Box::new(move |subject, call, which| {
            let (look, reader) = (look.clone(), Reader { viewer: call.viewer(), which });
            Box::pin(async move {
                Ok(match call.with(move |manager| look(subject, manager, reader)).await?? {
                    Found::All(values) => Answer::Ready(values),
                    Found::Part(rest) => Answer::Later(rest(call)),
                })
            })
        });
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
