//! Values of a unit file in the words of the unit file.

use crate::unit::model::{
    Container, Credential, CredentialForm, CredentialPlace, GivenCredential, ImageSource, OomPolicy, Pass,
    PullPolicy, RestartPolicy, ServiceType, Socket, StandardInput,
};
use std::sync::Arc;

/// `socket.*.pass` as units write it.
pub fn pass(pass: Pass) -> &'static str {
    match pass {
        Pass::Fd => "fd",
        Pass::Swap => "swap",
        Pass::Proxy => "proxy",
        Pass::Accept => "accept",
    }
}

pub(super) fn sockets(container: &Container) -> Vec<String> {
    let line = |(name, socket): (&String, &Arc<Socket>)| {
        format!("{name}: {} ({})", socket.listen, pass(socket.pass))
    };
    container.sockets.iter().map(line).collect()
}

pub(super) fn standard_input(input: StandardInput) -> &'static str {
    match input {
        StandardInput::Null => "null",
        StandardInput::Socket => "socket",
    }
}

pub(super) fn image(source: &ImageSource) -> String {
    match source {
        ImageSource::Reference(reference) => reference.clone(),
        ImageSource::Id(id) => format!("store:{id}"),
        ImageSource::Directory(path) => format!("dir:{}", path.display()),
    }
}

pub(super) fn oom_policy(policy: OomPolicy) -> &'static str {
    match policy {
        OomPolicy::Continue => "continue",
        OomPolicy::Stop => "stop",
        OomPolicy::Kill => "kill",
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

/// `NAME:PATH`, as LoadCredential= has it; never what a credential is.
pub(super) fn loaded(name: &str, credential: &Credential) -> Option<String> {
    loaded_as(CredentialForm::Plain, name, credential)
}

pub(super) fn loaded_encrypted(name: &str, credential: &Credential) -> Option<String> {
    loaded_as(CredentialForm::Encrypted, name, credential)
}

fn loaded_as(form: CredentialForm, name: &str, credential: &Credential) -> Option<String> {
    match credential {
        Credential::Load(load) if load.form == form => Some(match &load.place {
            CredentialPlace::Path(path) => format!("{name}:{}", path.display()),
            CredentialPlace::Name(other) => format!("{name}:{other}"),
        }),
        _ => None,
    }
}

/// The name alone.
pub(super) fn given(name: &str, credential: &Credential) -> Option<String> {
    matches!(given_by(credential)?, GivenCredential::Plain(_)).then(|| name.to_owned())
}

pub(super) fn given_encrypted(name: &str, credential: &Credential) -> Option<String> {
    matches!(given_by(credential)?, GivenCredential::Encrypted(_)).then(|| name.to_owned())
}

fn given_by(credential: &Credential) -> Option<&GivenCredential> {
    match credential {
        Credential::Given(given) => Some(given),
        Credential::Load(load) => load.default.as_ref(),
        Credential::Import(_) => None,
    }
}

pub(super) fn imported(_: &str, credential: &Credential) -> Option<String> {
    match credential {
        Credential::Import(pattern) => Some(pattern.clone()),
        _ => None,
    }
}
