//! `pass = "accept"` as meant: what a container for each connection can be, and how many there may be.

use crate::unit::model::{
    Pass, ReadyOn, RestartPolicy, RootMode, Socket, StandardInput, StartLimit, StartOn,
};
use crate::unit::name::{LISTENER_LENGTH_MAX, UnitName};
use crate::unit::report::Report;
use crate::unit::schema::{ContainerFile, ContainerTable};
use std::collections::BTreeMap;

const LEAVE_OUT: &str = "leave it out";

/// Whether a unit with these sockets has a container for each connection.
pub fn is_meant(sockets: &BTreeMap<String, Socket>) -> bool {
    sockets.values().any(|socket| socket.pass == Pass::Accept)
}

/// What limits the traffic of a unit that does not say it.
pub fn trigger_limit(sockets: &BTreeMap<String, Socket>) -> StartLimit {
    if is_meant(sockets) { StartLimit::CONNECTIONS } else { StartLimit::TRIGGERS }
}

/// What contradicts a container for each connection.
pub fn check(
    name: &UnitName,
    file: &ContainerFile,
    sockets: &BTreeMap<String, Socket>,
    report: &mut Report<'_>,
) {
    let (accepting, others): (Vec<_>, Vec<_>) =
        sockets.iter().partition(|(_, socket)| socket.pass == Pass::Accept);
    let Some((first, _)) = accepting.first() else { return };
    for (name, _) in accepting.iter().filter(|(_, socket)| !socket.listen.connects()) {
        let message = "pass = \"accept\" is for a socket that takes connections";
        report.error(&["socket", name, "pass"], message, "use \"fd\", for LISTEN_FDS");
    }
    // What is faulty has been left out of the file, but is in the tree.
    let is_read = |name: &str| {
        let written = report.tree().find(&["socket", name, "pass"]).is_some();
        !written || file.socket.get(name).is_some_and(|table| table.pass.is_some())
    };
    let others: Vec<_> = others.into_iter().map(|(name, _)| name).filter(|name| is_read(name)).collect();
    for other in others {
        let message = format!("[socket.{first}] of this unit has pass = \"accept\", and this socket has not");
        let help = "write it here, too, or give this socket to a unit of its own";
        report.error(&["socket", other, "pass"], message, help);
    }
    check_name(name, first, report);
    check_life(&file.container, report);
    check_activation(file, report);
}

/// Each instance is called by the prefix and the connection.
fn check_name(name: &UnitName, socket: &str, report: &mut Report<'_>) {
    let way = ["socket", socket, "pass"];
    if name.instance().is_some() {
        let message = "an instance of a template cannot have instances for its connections";
        let help = format!("name the file {}.{}.toml", name.prefix(), name.suffix());
        report.error(&way, message, help);
    } else if name.stem().len() > LISTENER_LENGTH_MAX {
        let message = "the name of the unit is too long to be followed by the addresses of a connection";
        let help = format!("{LISTENER_LENGTH_MAX} characters before \".{}\" are the most", name.suffix());
        report.error(&way, message, help);
    }
}

fn check_life(table: &ContainerTable, report: &mut Report<'_>) {
    let mut error = |key, message| report.error(&["container", key], message, LEAVE_OUT);
    if table.restart.is_some_and(|restart| restart != RestartPolicy::No) {
        error(
            "restart",
            "a container for one connection is not started again: the connection is over with it",
        );
    }
    if table.root == Some(RootMode::Persistent) {
        error("root", "a container for one connection is forgotten with it, and its root as well");
    }
    if table.remain_after_exit == Some(true) {
        error("remain_after_exit", "a container for one connection is forgotten with it");
    }
    if table.ready == Some(ReadyOn::Listening) {
        error("ready", "a container for one connection listens nowhere");
    }
}

fn check_activation(file: &ContainerFile, report: &mut Report<'_>) {
    let table = &file.activation;
    if matches!(table.start, Some(StartOn::Boot | StartOn::Timer)) {
        let message = "pass = \"accept\" starts a container for each connection, and none otherwise";
        report.error(&["activation", "start"], message, LEAVE_OUT);
    }
    if table.idle_timeout.is_some() {
        let message = "a container for one connection ends with it, and does not sleep";
        report.error(&["activation", "idle_timeout"], message, LEAVE_OUT);
    }
    if report.tree().find(&["timer"]).is_some() {
        let message = "pass = \"accept\" starts a container for each connection, and none on time";
        report.error(&["timer"], message, "give the timer to a unit of its own");
    }
}

/// A socket that is to be standard input and output is the only one, systemd.exec(5) `StandardInput=`.
pub fn standard_input(
    table: &ContainerTable,
    sockets: &BTreeMap<String, Socket>,
    report: &mut Report<'_>,
) -> StandardInput {
    let input = table.standard_input.unwrap_or_default();
    let is_one = sockets.len() == 1 && sockets.values().all(|socket| socket.pass == Pass::Fd);
    if input == StandardInput::Socket && !is_one && !is_meant(sockets) {
        let message = "standard_input = \"socket\" takes one socket, which is passed to the container";
        let help = "add one [socket.NAME] with pass = \"accept\", or with pass = \"fd\"";
        report.error(&["container", "standard_input"], message, help);
    }
    input
}
