//! What puts a container to sleep, of `[activation]`, as meant.

use super::container::{has_sockets, span};
use crate::unit::model::{Idle, ServiceType, Sleep};
use crate::unit::report::Report;
use crate::unit::schema::{ContainerFile, IdleAction};
use crate::unit::value::Text;

/// `None` where the container never sleeps.
pub fn lower(file: &ContainerFile, report: &mut Report<'_>) -> Option<Idle> {
    let table = &file.activation;
    let timeout = span(&table.idle_timeout, None);
    if timeout.is_none() {
        without_timeout(file, report);
    }
    let timeout = timeout?;
    let way = ["activation", "idle_timeout"];
    if timeout.is_zero() {
        report.error(&way, "a container would sleep before anybody could use it", "leave it out for never");
    } else if !has_sockets(report) {
        let help = "add a [socket.NAME] with \"listen\": connections to it wake the container";
        report.error(&way, "nothing would wake a container without a socket", help);
    } else if file.container.kind == Some(ServiceType::Oneshot) {
        report.error(&way, "a container of type \"oneshot\" ends by itself", "leave it out");
    }
    let stop_after = span(&table.idle_stop_after, None);
    let sleep = match table.idle_action.unwrap_or(IdleAction::Stop) {
        IdleAction::Freeze => Sleep::Freeze { stop_after },
        IdleAction::Stop => {
            if table.idle_stop_after.is_some() {
                let message = "\"idle_stop_after\" is for containers that are frozen before";
                let help = "leave it out, or write idle_action = \"freeze\"";
                report.error(&["activation", "idle_stop_after"], message, help);
            }
            Sleep::Stop
        }
    };
    let floor = table.idle_cpu_floor.as_ref().map(|Text(share)| share.0);
    Some(Idle { timeout, sleep, cpu_floor_per_sec_usec: floor.filter(|floor| *floor != u64::MAX) })
}

fn without_timeout(file: &ContainerFile, report: &mut Report<'_>) {
    let table = &file.activation;
    let others = [
        ("idle_action", table.idle_action == Some(IdleAction::Freeze)),
        ("idle_stop_after", table.idle_stop_after.is_some()),
        ("idle_cpu_floor", table.idle_cpu_floor.is_some()),
    ];
    for (key, given) in others {
        if given {
            let message = format!("\"{key}\" has no effect without \"idle_timeout\"");
            report.warning(
                &["activation", key],
                message,
                "write how long nobody may use it before it sleeps",
            );
        }
    }
}
