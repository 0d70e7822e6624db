//! Values of a unit file in the words of the unit file.

use crate::unit::model::{
    Container, ImageSource, Listen, Pass, PullPolicy, RestartPolicy, ServiceType, Socket,
};

/// An address as units write it.
pub fn address(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => path.display().to_string(),
        Listen::Abstract(name) => format!("@{name}"),
    }
}

/// `socket.*.pass` as units write it.
pub fn pass(pass: Pass) -> &'static str {
    match pass {
        Pass::Fd => "fd",
        Pass::Swap => "swap",
    }
}

pub(super) fn sockets(container: &Container) -> Vec<String> {
    let line = |(name, socket): (&String, &Socket)| {
        format!("{name}: {} ({})", address(&socket.listen), pass(socket.pass))
    };
    container.sockets.iter().map(line).collect()
}

pub(super) fn image(source: &ImageSource) -> String {
    match source {
        ImageSource::Reference(reference) => reference.clone(),
        ImageSource::Id(id) => format!("store:{id}"),
        ImageSource::Directory(path) => format!("dir:{}", path.display()),
    }
}

pub(super) fn kind(kind: ServiceType) -> &'static str {
    match kind {
        ServiceType::Exec => "exec",
        ServiceType::Notify => "notify",
        ServiceType::Oneshot => "oneshot",
    }
}

pub(super) fn pull(policy: PullPolicy) -> &'static str {
    match policy {
        PullPolicy::Missing => "missing",
        PullPolicy::Always => "always",
        PullPolicy::Never => "never",
        PullPolicy::Newer => "newer",
    }
}

pub(super) fn restart(policy: RestartPolicy) -> &'static str {
    match policy {
        RestartPolicy::No => "no",
        RestartPolicy::Always => "always",
        RestartPolicy::OnSuccess => "on-success",
        RestartPolicy::OnFailure => "on-failure",
        RestartPolicy::OnAbnormal => "on-abnormal",
        RestartPolicy::OnAbort => "on-abort",
        RestartPolicy::OnWatchdog => "on-watchdog",
    }
}
