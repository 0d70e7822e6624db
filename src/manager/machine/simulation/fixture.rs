//! Units to begin with, and what managers leave.

use super::super::{Left, Machine};
use crate::unit::assemble::assemble_with;
use crate::unit::lower::Files;
use crate::unit::model::{
    Body, Container, Dependencies, Listen, Pass, Socket, StartOn, Unit, UnixName, UnixType,
};
use crate::unit::name::UnitName;
use crate::unit::source::Source;
use crate::unit::specifier::Host;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

pub fn name(index: usize) -> UnitName {
    UnitName::parse(&format!("u{index}.container")).unwrap()
}

/// Read once: histories begin with hundreds of thousands of units. What the promises count with is written out.
static UNIT: LazyLock<Unit> = LazyLock::new(|| {
    let text = r#"
[container]
image = "x"
pull = "never"
restart_delay = "100ms"
start_limit = { burst = 5, interval = "10s" }
[network]
hostname = "x"
"#;
    let path = PathBuf::from("/x.container.toml");
    let source = Source::from_text(&path, text);
    let files = Files { fragment: Some(path), drop_ins: Vec::new() };
    let (unit, warnings) = assemble_with(&name(0), files, &Host::default(), Some(&source)).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    Unit { fragment: None, description: String::new(), ..unit }
});

pub fn container() -> Container {
    UNIT.body.container().unwrap().clone()
}

pub fn unit(name: UnitName, container: Container, dependencies: Dependencies) -> Arc<Unit> {
    Arc::new(Unit {
        name,
        dependencies: dependencies.into(),
        body: Body::Container(Box::new(container)),
        ..UNIT.clone()
    })
}

pub fn on_socket(mut container: Container) -> Container {
    let listen = Listen::Unix(UnixType::Stream, UnixName::Abstract("x".into()));
    let socket = Socket::new(listen, Pass::Fd);
    container.sockets.insert("s".into(), Arc::new(socket));
    container.start = StartOn::Socket;
    container
}

/// One that only listens, and has instances for its connections.
pub fn accepting(container: Container) -> Container {
    let mut own = on_socket(container);
    own.sockets.values_mut().for_each(|socket| Arc::make_mut(socket).pass = Pass::Accept);
    own
}

/// What a manager that is gone at once has recorded of a unit.
pub fn left(machine: &Machine, name: &UnitName) -> Left {
    let managed = machine.unit(name).unwrap();
    Left {
        phase: managed.phase,
        run: managed.run.as_deref().cloned(),
        stamps: managed.stamps,
        result: managed.result,
        failure: managed.failure.clone(),
        restarts: managed.restarts,
        starts: managed.starts().clone(),
        schedule: (*managed.schedule).clone(),
        job: managed.job.map(|job| &machine.jobs()[&job]).map(|job| (job.kind, job.asked)),
    }
}
