//! Units to begin with.

use crate::unit::model::{
    Body, Container, Dependencies, Handling, ImageSource, Install, Listen, NetworkMode, Pass, PullPolicy,
    ReadyOn, Resources, RestartPolicy, RootMode, Security, ServiceType, Socket, StartLimit, StartOn, Unit,
    UserNamespace,
};
use crate::unit::name::UnitName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub fn name(index: usize) -> UnitName {
    UnitName::parse(&format!("u{index}.container")).unwrap()
}

pub fn container() -> Container {
    Container {
        image: ImageSource::Reference("x".into()),
        entrypoint: None,
        command: None,
        pull: PullPolicy::Never,
        user: None,
        working_directory: None,
        stop_signal: None,
        environment: BTreeMap::new(),
        environment_file: Vec::new(),
        kind: ServiceType::Exec,
        root: RootMode::Ephemeral,
        restart: RestartPolicy::No,
        ready: ReadyOn::Exec,
        restart_delay: Duration::from_millis(100),
        restart_steps: 0,
        restart_delay_max: None,
        success_exit_status: BTreeSet::new(),
        restart_prevent_exit_status: BTreeSet::new(),
        restart_force_exit_status: BTreeSet::new(),
        start_limit: StartLimit { burst: 5, interval: Duration::from_secs(10) },
        start_timeout: Some(Duration::from_secs(90)),
        stop_timeout: Some(Duration::from_secs(90)),
        runtime_max: None,
        runtime_randomized_extra: Duration::ZERO,
        watchdog: None,
        watchdog_signal: 6,
        reload: None,
        remain_after_exit: false,
        health: None,
        sockets: BTreeMap::new(),
        start: StartOn::Boot,
        resources: Resources::default(),
        security: Security {
            user_namespace: UserNamespace::Auto,
            capabilities: None,
            add_capabilities: Default::default(),
            drop_capabilities: Default::default(),
            no_new_privileges: true,
            system_calls: Default::default(),
            read_only_paths: Default::default(),
            mask_paths: Default::default(),
        },
        network: NetworkMode::Private,
        hostname: "x".into(),
        mounts: BTreeMap::new(),
    }
}

pub fn unit(name: UnitName, container: Container, dependencies: Dependencies) -> Arc<Unit> {
    Arc::new(Unit {
        name,
        fragment: None,
        drop_ins: Vec::new(),
        description: String::new(),
        documentation: Vec::new(),
        dependencies,
        conditions: Vec::new(),
        handling: Handling::default(),
        body: Body::Container(Box::new(container)),
        install: Install::default(),
    })
}

pub fn on_socket(mut container: Container) -> Container {
    let socket = Socket {
        listen: Listen::Abstract("x".into()),
        target: None,
        pass: Pass::Fd,
        mode: 0o666,
        user: None,
        group: None,
        backlog: 1,
    };
    container.sockets.insert("s".into(), socket);
    container.start = StartOn::Socket;
    container
}
