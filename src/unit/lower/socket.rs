//! `[socket.*]` as meant.

use crate::unit::model::{Listen, Pass, Socket};
use crate::unit::report::Report;
use crate::unit::schema::SocketTable;
use crate::unit::value::Text;
use std::collections::BTreeMap;

const BACKLOG: u32 = 4096;
/// One message can pass 253 descriptors, unix(7) `SCM_RIGHTS`.
const SOCKETS_MAX: usize = 128;
/// As `SocketMode=` of systemd.socket(5).
const MODE: u32 = 0o666;

/// The sockets that are whole; what is wrong with the others is reported.
pub fn lower(tables: &BTreeMap<String, SocketTable>, report: &mut Report<'_>) -> BTreeMap<String, Socket> {
    let mut sockets: BTreeMap<String, Socket> = BTreeMap::new();
    if tables.len() > SOCKETS_MAX {
        let message = format!("a unit cannot have more than {SOCKETS_MAX} sockets");
        report.error(&["socket"], message, "spread them over several units");
        return sockets;
    }
    for (name, table) in tables {
        check(name, table, report);
        let Some(socket) = socket(table) else { continue };
        if let Some((other, there)) = sockets.iter().find(|(_, other)| other.listen.collides(&socket.listen))
        {
            let message = format!("[socket.{other}] listens on this address already");
            let help = if there.listen != socket.listen {
                "\"[::]:PORT\" takes v4 connections too"
            } else {
                "leave one out"
            };
            report.error(&["socket", name, "listen"], message, help);
        }
        sockets.insert(name.clone(), socket);
    }
    sockets
}

fn socket(table: &SocketTable) -> Option<Socket> {
    let Text(listen) = table.listen.clone()?;
    Some(Socket {
        listen,
        pass: table.pass.clone().map_or(Pass::Swap, |Text(pass)| pass),
        target: table.target.clone().map(|Text(target)| target),
        mode: table.mode.clone().map_or(MODE, |Text(mode)| mode.0),
        user: table.user.clone().map(|Text(user)| user.0),
        group: table.group.clone().map(|Text(group)| group.0),
        backlog: table.backlog.unwrap_or(BACKLOG),
    })
}

fn check(name: &str, table: &SocketTable, report: &mut Report<'_>) {
    let way = |key| ["socket", name, key];
    let named = !name.is_empty()
        && name.len() <= 255
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    if !named {
        let help = "LISTEN_FDNAMES takes printable characters but \":\", at most 255";
        report.error(&["socket", name], format!("\"{name}\" cannot name a socket"), help);
    }
    report.missing(&["socket", name], "listen", "write listen = \"[::]:80\"");
    if table.target.is_some() && matches!(table.pass, Some(Text(Pass::Fd))) {
        let message = "\"target\" has no meaning with pass = \"fd\"";
        report.error(&way("target"), message, "leave it out, or use pass = \"swap\"");
    }
    if table.backlog == Some(0) {
        report.error(
            &way("backlog"),
            "a backlog of 0 would refuse every connection",
            "leave it out for 4096",
        );
    }
    if !matches!(table.listen, None | Some(Text(Listen::Unix(_)))) {
        for (key, given) in
            [("mode", table.mode.is_some()), ("user", table.user.is_some()), ("group", table.group.is_some())]
        {
            if given {
                let message = format!("\"{key}\" is for a socket in the file system");
                report.error(&way(key), message, "leave it out");
            }
        }
    }
    for (key, account) in [("user", &table.user), ("group", &table.group)] {
        if account.as_ref().is_some_and(|Text(account)| account.0.contains(':')) {
            report.error(
                &way(key),
                format!("\"{key}\" takes one name or number"),
                "write the group in \"group\"",
            );
        }
    }
}
