//! How a container starts, ends and starts again, as meant.

use super::container::{RESTART_DELAY, span};
use crate::unit::model::{ExitStatus, ExitStatuses, ReadyOn, Reload, RestartPolicy, ServiceType, StartLimit};
use crate::unit::report::Report;
use crate::unit::schema::{ActivationTable, ContainerTable};
use crate::unit::value::{Text, TimeSpan};
use std::time::Duration;

const START_LIMIT: StartLimit = StartLimit { burst: 5, interval: Duration::from_secs(10) };

/// What the units ordered after this one wait for; a payload that says when it is ready is waited for.
pub fn ready(table: &ContainerTable) -> ReadyOn {
    match (table.ready, table.kind) {
        (Some(ready), _) => ready,
        (None, Some(ServiceType::Notify)) => ReadyOn::Notify,
        (None, _) => ReadyOn::Exec,
    }
}

pub fn start_limit(table: &ContainerTable) -> StartLimit {
    StartLimit {
        burst: table.start_limit.burst.unwrap_or(START_LIMIT.burst),
        interval: span(&table.start_limit.interval, Some(START_LIMIT.interval)).unwrap_or(Duration::MAX),
    }
}

/// As systemd.socket(5) `TriggerLimitIntervalSec=` and `TriggerLimitBurst=`.
pub fn trigger_limit(table: &ActivationTable, default: StartLimit) -> StartLimit {
    let own = &table.trigger_limit;
    StartLimit {
        burst: own.burst.unwrap_or(default.burst),
        interval: span(&own.interval, Some(default.interval)).unwrap_or(Duration::MAX),
    }
}

/// A limit whose interval never ends is none that anybody means.
pub fn trigger_interval(table: &ActivationTable, report: &mut Report<'_>) {
    let own = &table.trigger_limit;
    if own.burst != Some(0) && matches!(&own.interval, Some(Text(TimeSpan(None)))) {
        let way = ["activation", "trigger_limit", "interval"];
        report.error(&way, "the interval of a trigger limit cannot be infinite", "burst = 0 means no limit");
    }
}

pub fn statuses(written: &[Text<ExitStatus>]) -> ExitStatuses {
    written.iter().map(|Text(status)| *status).collect()
}

/// The watchdog's time; 0 and infinity are none.
pub fn watchdog(table: &ContainerTable) -> Option<Duration> {
    span(&table.watchdog, None).filter(|time| !time.is_zero())
}

/// How the payload is asked to read its configuration again.
pub fn reload(table: &ContainerTable) -> Option<Reload> {
    match (&table.reload_command, &table.reload_signal) {
        (Some(command), _) => Some(Reload::Command(command.clone())),
        (None, Some(Text(signal))) => Some(Reload::Signal(signal.0)),
        (None, None) => None,
    }
}

/// What cannot be meant.
pub fn contradictions(table: &ContainerTable, report: &mut Report<'_>) {
    let again = matches!(table.restart, Some(RestartPolicy::Always | RestartPolicy::OnSuccess));
    let oneshot = table.kind == Some(ServiceType::Oneshot);
    if oneshot && again {
        let message = "a unit of type \"oneshot\" cannot be restarted after a success";
        report.error(&["container", "restart"], message, "use restart = \"on-failure\" or type = \"exec\"");
    }
    if !oneshot && table.remain_after_exit == Some(true) {
        let way = ["container", "remain_after_exit"];
        report.error(&way, "only a unit of type \"oneshot\" can remain after its exit", "leave it out");
    }
    if matches!(&table.restart_delay, Some(Text(TimeSpan(None)))) {
        let way = ["container", "restart_delay"];
        report.error(&way, "a restart cannot wait forever", "use restart = \"no\"");
    }
    restart_steps(table, report);
    if table.start_limit.burst.is_none_or(|burst| burst > 0)
        && matches!(&table.start_limit.interval, Some(Text(TimeSpan(None))))
    {
        let way = ["container", "start_limit", "interval"];
        report.error(&way, "the interval of a start limit cannot be infinite", "burst = 0 means no limit");
    }
    if table.reload_command.is_some() && table.reload_signal.is_some() {
        let way = ["container", "reload_signal"];
        report.error(&way, "there are a \"reload_signal\" and a \"reload_command\"", "leave one out");
    }
    readiness(table, report);
}

/// Pauses grow only where there is something to grow to, systemd.service(5) `RestartSteps=`.
fn restart_steps(table: &ContainerTable, report: &mut Report<'_>) {
    let way = |key| ["container", key];
    let steps = table.restart_steps.is_some_and(|steps| steps > 0);
    let delay = span(&table.restart_delay, Some(RESTART_DELAY)).unwrap_or_default();
    match &table.restart_delay_max {
        None if steps => {
            let message = "\"restart_steps\" has no effect without \"restart_delay_max\"";
            report.warning(&way("restart_steps"), message, "write both, or leave it out");
        }
        Some(_) if !steps => {
            let message = "\"restart_delay_max\" has no effect without \"restart_steps\"";
            report.warning(&way("restart_delay_max"), message, "write both, or leave it out");
        }
        Some(Text(TimeSpan(Some(longest)))) if *longest <= delay => {
            let message = "\"restart_delay_max\" is not longer than \"restart_delay\"";
            report.warning(&way("restart_delay_max"), message, "every pause is \"restart_delay\"");
        }
        _ => {}
    }
}

fn readiness(table: &ContainerTable, report: &mut Report<'_>) {
    let way = ["container", "ready"];
    let Some(ready) = table.ready else { return };
    let kind = table.kind.unwrap_or_default();
    if ready == ReadyOn::Notify && kind != ServiceType::Notify {
        report.error(&way, "ready = \"notify\" needs type = \"notify\"", "leave it out, and write the type");
    }
    if kind == ServiceType::Oneshot && ready != ReadyOn::Exec {
        report.error(&way, "a unit of type \"oneshot\" is ready when it has ended", "leave it out");
    }
}
