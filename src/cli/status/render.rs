//! The page of one unit, laid out as systemctl's: labels to the right of a column, values to the left.

use super::{health, idle, reason, resources};
use crate::cli::text::{Style, Tone, escaped, quantity, time};
use crate::cli::unit_properties::{ActiveState, Connections, Ending, UnitProperties};
use crate::unit::{exit_status, signal};
use jiff::tz::TimeZone;
use rustix::time::{ClockId, clock_gettime};

/// Goes on below a value.
const INDENTED_LINE: &str = "\n             ";

/// What the page needs besides the unit.
pub struct Surroundings {
    /// Colours or not.
    pub style: Style,
    /// For times.
    pub zone: TimeZone,
    /// Microseconds since 1970.
    pub now: u64,
    /// The name of the main process, while it runs.
    pub main_name: Option<String>,
    /// The tree of the control group.
    pub processes: Vec<String>,
}

/// The page, without the log.
pub fn unit(unit: &UnitProperties, around: &Surroundings) -> String {
    let style = around.style;
    let mut page = Page(header(unit, style));
    page.line("Loaded", &loaded(unit, around));
    page.line("Transient", if unit.transient { "yes" } else { "" });
    page.line("Drop-In", &drop_ins(unit, style));
    page.line("Active", &active(unit, around));
    page.line("Trigger", &trigger(unit, around));
    page.line("Duration", &duration(unit));
    page.line("Condition", &conditions(unit, unit.condition_result, "condition unmet", around));
    page.line("Assert", &conditions(unit, unit.assert_result, "assertion failed", around));
    page.line("Job", &job(unit));
    page.lines("TriggeredBy", &unit.triggered_by);
    page.lines("Listen", &unit.sockets);
    page.line("Accepted", &unit.connections.map(accepted).unwrap_or_default());
    page.line("Docs", &documentation(unit, style));
    page.lines("Invocation", &present(&unit.invocation_id));
    page.line("Image", &image(unit));
    page.line("Pull", &pull(unit));
    page.line("Main PID", &main_process(unit, around.main_name.as_deref()));
    page.lines("Retired", &present(&unit.retired));
    page.line("Restarts", &positive(unit.restarts));
    page.lines("Status", &quoted(&unit.status_text));
    page.line("Idle", &idle::line(unit, around));
    page.line("Health", &health::line(unit, around));
    page.lines("Error", &present(&reason::launch_error(unit)));
    page.lines("Error", &present(&unit.transfer_error));
    page.line("OOM kills", &positive(unit.oom_kills));
    for (label, value) in resources::lines(unit) {
        page.line(label, &value);
    }
    page.line("CGroup", &control_group(unit, &around.processes));
    page.lines("Next", &reason::next_step(unit).into_iter().collect::<Vec<_>>());
    page.block(diagnostics(unit));
    page.0
}

struct Page(String);

impl Page {
    /// A label and a value that is safe already; nothing when the value is empty.
    fn line(&mut self, label: &str, value: &str) {
        if !value.is_empty() {
            self.0.push_str(&format!("{label:>11}: {value}\n"));
        }
    }

    /// A label and values of others below each other.
    fn lines(&mut self, label: &str, values: &[String]) {
        let values: Vec<_> = values.iter().map(|value| escaped(value)).collect();
        self.line(label, &values.join(INDENTED_LINE));
    }

    /// Text of several lines, set off by a blank one.
    fn block(&mut self, text: &str) {
        if !text.is_empty() {
            let lines: Vec<_> = text.trim_end().lines().map(escaped).collect();
            self.0.push_str(&format!("\n{}\n", lines.join("\n")));
        }
    }
}

fn header(unit: &UnitProperties, style: Style) -> String {
    let dot = style.dot(unit.active_state.tone(), unit.active_state.dot());
    match unit.description.is_empty() || unit.description == unit.id {
        true => format!("{dot} {}\n", unit.id),
        false => format!("{dot} {} - {}\n", unit.id, escaped(&unit.description)),
    }
}

fn loaded(unit: &UnitProperties, around: &Surroundings) -> String {
    let style = around.style;
    let tone = if matches!(unit.load_state.as_str(), "loaded" | "masked") { Tone::Normal } else { Tone::Bad };
    let state = style.paint(tone, &unit.load_state);
    if !unit.load_error.is_empty() {
        return format!("{state} (Reason: {})", load_reason(unit));
    }
    if unit.fragment_path.is_empty() {
        return state;
    }
    let mut parts = vec![file(&unit.fragment_path, style)];
    parts.extend(present(&unit.unit_file_state).iter().map(|state| style.paint(file_tone(state), state)));
    // A file that nothing can enable has no use for what presets say.
    if !matches!(unit.unit_file_state.as_str(), "static" | "alias" | "bad") {
        let preset = present(&unit.unit_file_preset);
        parts.extend(
            preset.iter().map(|preset| format!("preset: {}", style.paint(file_tone(preset), preset))),
        );
    }
    format!("{state} ({})", parts.join("; "))
}

/// One line on why a unit cannot be used; what is wrong with its files is told below.
fn load_reason(unit: &UnitProperties) -> String {
    match diagnostics(unit) {
        "" => escaped(&unit.load_error).into_owned(),
        _ => format!("Unit {} has a bad unit file.", unit.id),
    }
}

/// What `sampanctl verify` says of the files; only root is told.
fn diagnostics(unit: &UnitProperties) -> &str {
    if unit.load_error.contains('\n') { &unit.load_error } else { "" }
}

fn file_tone(state: &str) -> Tone {
    match state {
        "enabled" | "enabled-runtime" => Tone::Good,
        "disabled" => Tone::Moving,
        "masked" | "masked-runtime" | "bad" => Tone::Bad,
        _ => Tone::Normal,
    }
}

/// A path, which a terminal can open.
fn file(path: &str, style: Style) -> String {
    let host = rustix::system::uname();
    style.link(&format!("file://{}{path}", host.nodename().to_string_lossy()), &escaped(path))
}

/// Manuals and pages, which a terminal can open.
fn documentation(unit: &UnitProperties, style: Style) -> String {
    let docs: Vec<String> = unit.documentation.iter().map(|url| style.link(url, &escaped(url))).collect();
    docs.join(INDENTED_LINE)
}

/// Directories, each with its files below, in the order of the merge.
fn drop_ins(unit: &UnitProperties, style: Style) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for path in &unit.drop_in_paths {
        let (directory, file) = path.rsplit_once('/').unwrap_or(("", path));
        match groups.last_mut() {
            Some((last, files)) if *last == directory => files.push(file),
            _ => groups.push((directory, vec![file])),
        }
    }
    let of = |(directory, files): &(&str, Vec<&str>)| {
        let files: Vec<String> = files
            .iter()
            .map(|name| {
                let host = rustix::system::uname();
                let host = host.nodename().to_string_lossy().into_owned();
                style.link(&format!("file://{host}{directory}/{name}"), &escaped(name))
            })
            .collect();
        format!("{}{INDENTED_LINE}{}{}", escaped(directory), style.glyphs.last_branch(), files.join(", "))
    };
    groups.iter().map(of).collect::<Vec<_>>().join(INDENTED_LINE)
}

fn active(unit: &UnitProperties, around: &Surroundings) -> String {
    let succeeded = matches!(unit.result.as_str(), "" | "success");
    let detail = match unit.active_state {
        ActiveState::Failed if !succeeded => format!(" (Result: {})", unit.result),
        // A target is active, and nothing more can be said of it.
        _ if succeeded && unit.sub_state == unit.active_state.word() => String::new(),
        _ if succeeded => format!(" ({})", unit.sub_state),
        _ => format!(" ({}) (Result: {})", unit.sub_state, unit.result),
    };
    let state =
        around.style.paint(unit.active_state.tone(), &format!("{}{detail}", unit.active_state.word()));
    let frozen = match unit.freezer_state.as_str() {
        "" | "running" => String::new(),
        state if state == unit.sub_state => String::new(),
        state => format!(" {}", around.style.paint(Tone::Moving, &format!("({state})"))),
    };
    match since(unit) {
        0 => format!("{state}{frozen}"),
        since => format!("{state}{frozen} since {}", moment(since, around)),
    }
}

fn moment(time: u64, around: &Surroundings) -> String {
    format!("{}; {}", time::timestamp(time, &around.zone), time::ago(around.now.saturating_sub(time)))
}

/// When the timer starts the unit next, while it is armed.
fn trigger(unit: &UnitProperties, around: &Surroundings) -> String {
    if matches!(unit.timer_state.as_str(), "" | "dead") {
        return String::new();
    }
    let boottime = clock_gettime(ClockId::Boottime);
    let since_boot =
        u64::try_from(boottime.tv_sec * 1_000_000 + boottime.tv_nsec / 1_000).unwrap_or_default();
    let monotonic = (unit.next_elapse_monotonic != 0)
        .then(|| (around.now + unit.next_elapse_monotonic).saturating_sub(since_boot));
    let realtime = (unit.next_elapse_realtime != 0).then_some(unit.next_elapse_realtime);
    match realtime.into_iter().chain(monotonic).min() {
        Some(next) => format!("{}; {}", time::timestamp(next, &around.zone), time::left(next, around.now)),
        None => "n/a".to_owned(),
    }
}

/// Why the last start was skipped.
fn conditions(unit: &UnitProperties, holds: bool, failed: &str, around: &Surroundings) -> String {
    if holds || unit.condition_timestamp == 0 {
        return String::new();
    }
    let failed = around.style.paint(Tone::Moving, failed);
    let mut text = format!("start {failed} at {}", moment(unit.condition_timestamp, around));
    let glyphs = around.style.glyphs;
    for (index, condition) in unit.conditions.iter().enumerate() {
        let last = index + 1 == unit.conditions.len();
        let branch = if last { glyphs.last_branch() } else { glyphs.branch() };
        text.push_str(&format!("{INDENTED_LINE}{branch}{}", escaped(condition)));
    }
    text
}

fn since(unit: &UnitProperties) -> u64 {
    match unit.active_state {
        ActiveState::Active | ActiveState::Reloading => unit.active_enter,
        ActiveState::Inactive | ActiveState::Failed => unit.inactive_enter,
        ActiveState::Activating => unit.inactive_exit,
        ActiveState::Deactivating => unit.active_exit,
    }
}

/// How long the last run lasted, once it is over: from when it was ready. That the unit waited for its timer or for
/// connections afterwards, as an active one, is not of it.
fn duration(unit: &UnitProperties) -> String {
    let (start, exit) = (unit.exec_main_start, unit.exec_main_exit);
    let (from, to) = match start == 0 || exit == 0 || unit.remain_after_exit {
        true => (unit.active_enter, unit.active_exit),
        false if (start..unit.active_exit.min(exit)).contains(&unit.active_enter) => {
            (unit.active_enter, unit.active_exit.min(exit))
        }
        false => (start, exit),
    };
    match to.checked_sub(from) {
        Some(span) if unit.active_state.is_down() && from != 0 => time::span(span),
        _ => String::new(),
    }
}

fn job(unit: &UnitProperties) -> String {
    match unit.job {
        0 => String::new(),
        id => format!("{id} ({})", unit.job_type),
    }
}

fn image(unit: &UnitProperties) -> String {
    const SHORT: usize = 12;
    let digest = unit.image_id.rsplit(':').next().unwrap_or_default();
    let short: String = digest.chars().take(SHORT).collect();
    match (unit.image.is_empty(), short.is_empty()) {
        (_, true) => escaped(&unit.image).into_owned(),
        // The file that named it is gone, or bad.
        (true, false) => escaped(&short).into_owned(),
        (false, false) => format!("{} ({})", escaped(&unit.image), escaped(&short)),
    }
}

/// How far the pull of the image is, while it goes on.
fn pull(unit: &UnitProperties) -> String {
    let (image, total) = (escaped(&unit.transfer_image), unit.transfer_bytes_total);
    match (image.as_ref(), total) {
        ("", _) => String::new(),
        (image, 0) => image.to_owned(),
        (image, total) => {
            let done = quantity::bytes(unit.transfer_bytes_done);
            format!("{image} ({done} of {})", quantity::bytes(total))
        }
    }
}

fn main_process(unit: &UnitProperties, name: Option<&str>) -> String {
    if unit.main_pid != 0 {
        return match name {
            Some(name) => format!("{} ({name})", unit.main_pid),
            None => unit.main_pid.to_string(),
        };
    }
    match unit.exec_main {
        Some(ending) if unit.exec_main_pid != 0 => format!("{} ({})", unit.exec_main_pid, ended(ending)),
        _ => String::new(),
    }
}

fn ended(ending: Ending) -> String {
    // systemctl leaves the prefix out here.
    let signal = |number: i64| {
        let name = i32::try_from(number).map(signal::name).unwrap_or_default();
        name.strip_prefix("SIG").map_or(name.clone(), str::to_owned)
    };
    match ending {
        Ending::Exited(status) => {
            format!("code=exited, status={status}/{}", exit_status::name(status).unwrap_or("n/a"))
        }
        Ending::Killed(number) => format!("code=killed, signal={}", signal(number)),
        Ending::Dumped(number) => format!("code=dumped, signal={}", signal(number)),
    }
}

fn control_group(unit: &UnitProperties, processes: &[String]) -> String {
    let lines = [escaped(&unit.control_group).into_owned()].into_iter().chain(processes.iter().cloned());
    lines.collect::<Vec<_>>().join(INDENTED_LINE)
}

fn accepted(connections: Connections) -> String {
    let Connections { now, accepted, refused } = connections;
    let refused = if refused == 0 { String::new() } else { format!("; Refused: {refused}") };
    format!("{accepted}; Connected: {now}{refused}")
}

fn positive(number: u64) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

fn quoted(text: &str) -> Vec<String> {
    present(text).iter().map(|text| format!("\"{text}\"")).collect()
}

fn present(text: &str) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { vec![text.to_owned()] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::unit_properties::Memory;

    const NOW: u64 = 1_795_237_885_000_000;

    fn around() -> Surroundings {
        Surroundings {
            style: Style::PLAIN,
            zone: TimeZone::UTC,
            now: NOW,
            main_name: Some("nginx".to_owned()),
            processes: vec!["├─12 nginx: master".to_owned(), "└─13 nginx: worker".to_owned()],
        }
    }

    fn web() -> UnitProperties {
        UnitProperties {
            id: "web.container".to_owned(),
            description: "Web\nserver".to_owned(),
            documentation: vec!["man:nginx(8)".to_owned(), "https://nginx.org".to_owned()],
            load_state: "loaded".to_owned(),
            fragment_path: "/etc/sampan/units/web.container.toml".to_owned(),
            unit_file_state: "enabled".to_owned(),
            result: "success".to_owned(),
            image: "localhost/web".to_owned(),
            ..UnitProperties::default()
        }
    }

    #[test]
    fn a_running_unit() {
        let running = UnitProperties {
            drop_in_paths: vec![
                "/etc/sampan/units/web.container.toml.d/10-a.toml".to_owned(),
                "/etc/sampan/units/web.container.toml.d/20-b.toml".to_owned(),
            ],
            active_state: ActiveState::Active,
            sub_state: "running".to_owned(),
            active_enter: NOW - 200_000_000,
            sockets: vec!["http: [::]:80 (swap)".to_owned(), "admin: /run/web.sock (fd)".to_owned()],
            image_id: "sha256:0123456789abcdef0123".to_owned(),
            main_pid: 12,
            exec_main_pid: 12,
            status_text: "Ready".to_owned(),
            tasks_current: Some(2),
            tasks_max: Some(512),
            memory: Memory {
                current: Some(2_560_000),
                max: Some(256 << 20),
                high: Some(200 << 20),
                ..Memory::default()
            },
            cpu_usage_nsec: Some(29_000_000),
            control_group: "/sampan.slice/sampan-web.scope".to_owned(),
            ..web()
        };
        insta::assert_snapshot!(unit(&running, &around()), @r#"
        ● web.container - Web\nserver
             Loaded: loaded (/etc/sampan/units/web.container.toml; enabled)
            Drop-In: /etc/sampan/units/web.container.toml.d
                     └─10-a.toml, 20-b.toml
             Active: active (running) since Sat 2026-11-21 05:08:05 UTC; 3min 20s ago
             Listen: http: [::]:80 (swap)
                     admin: /run/web.sock (fd)
               Docs: man:nginx(8)
                     https://nginx.org
              Image: localhost/web (0123456789ab)
           Main PID: 12 (nginx)
             Status: "Ready"
              Tasks: 2 (limit: 512)
             Memory: 2.4M (high: 200.0M max: 256.0M)
                CPU: 29ms
             CGroup: /sampan.slice/sampan-web.scope
                     ├─12 nginx: master
                     └─13 nginx: worker
        "#);
    }

    #[test]
    fn a_failed_unit() {
        let failed = UnitProperties {
            active_state: ActiveState::Failed,
            sub_state: "failed".to_owned(),
            result: "exit-code".to_owned(),
            active_enter: NOW - 5_500_000,
            active_exit: NOW - 3_000_000,
            inactive_enter: NOW - 3_000_000,
            exec_main_pid: 12,
            exec_main: Some(Ending::Exited(1)),
            launch_error: "execute: /bin/nope: No such file or directory".to_owned(),
            restarts: 5,
            ..web()
        };
        insta::assert_snapshot!(unit(&failed, &Surroundings { processes: Vec::new(), ..around() }), @r#"
        × web.container - Web\nserver
             Loaded: loaded (/etc/sampan/units/web.container.toml; enabled)
             Active: failed (Result: exit-code) since Sat 2026-11-21 05:11:22 UTC; 3s ago
           Duration: 2.5s
               Docs: man:nginx(8)
                     https://nginx.org
              Image: localhost/web
           Main PID: 12 (code=exited, status=1/FAILURE)
           Restarts: 5
              Error: execute: /bin/nope: No such file or directory
               Next: see what it said in "sampanctl logs -I web"
        "#);
    }

    #[test]
    fn a_run_lasts_from_when_it_was_ready_to_its_end() {
        let lasted = |(start, exit), (active_enter, active_exit), remain_after_exit| {
            let active_state = ActiveState::Inactive;
            let (exec_main_start, exec_main_exit) = (start, exit);
            let stamps =
                UnitProperties { exec_main_start, exec_main_exit, active_enter, active_exit, ..web() };
            duration(&UnitProperties { active_state, remain_after_exit, ..stamps })
        };
        const S: u64 = 1_000_000;
        // A server that took a second to be ready, and one to end when it was asked to.
        assert_eq!(lasted((S, 8 * S), (2 * S, 7 * S), false), "5s");
        // A oneshot is never up.
        assert_eq!(lasted((S, 4 * S), (0, 0), false), "3s");
        // It waited before and after, for its timer or for connections.
        assert_eq!(lasted((3 * S, 5 * S), (5 * S, 5 * S), false), "2s");
        assert_eq!(lasted((3 * S, 5 * S), (6 * S, 9 * S), false), "2s");
        assert_eq!(lasted((3 * S, 5 * S), (3 * S, 9 * S), false), "2s");
        // One whose work stays done is up afterwards.
        assert_eq!(lasted((S, 2 * S), (2 * S, 9 * S), true), "7s");
        // A target has no process.
        assert_eq!(lasted((0, 0), (S, 9 * S), false), "8s");
        assert_eq!(lasted((0, 0), (0, 0), false), "");
    }

    #[test]
    fn a_unit_whose_image_is_pulled() {
        let pulling = UnitProperties {
            active_state: ActiveState::Activating,
            sub_state: "pull".to_owned(),
            inactive_exit: NOW - 3_000_000,
            image: "web".to_owned(),
            transfer_image: "docker.io/library/web:latest".to_owned(),
            transfer_bytes_done: 12 << 20,
            transfer_bytes_total: 60 << 20,
            documentation: Vec::new(),
            job: 7,
            job_type: "start".to_owned(),
            ..web()
        };
        insta::assert_snapshot!(unit(&pulling, &Surroundings { processes: Vec::new(), ..around() }), @r"
        ● web.container - Web\nserver
             Loaded: loaded (/etc/sampan/units/web.container.toml; enabled)
             Active: activating (pull) since Sat 2026-11-21 05:11:22 UTC; 3s ago
                Job: 7 (start)
              Image: web
               Pull: docker.io/library/web:latest (12.0M of 60.0M)
        ");
    }

    #[test]
    fn a_masked_unit_says_so() {
        let masked = UnitProperties {
            load_state: "masked".to_owned(),
            load_error: "Unit web.container is masked.".to_owned(),
            unit_file_state: "masked".to_owned(),
            fragment_path: String::new(),
            ..UnitProperties { documentation: Vec::new(), image: String::new(), ..web() }
        };
        insta::assert_snapshot!(loaded(&masked, &around()), @"masked (Reason: Unit web.container is masked.)");
    }

    #[test]
    fn a_unit_with_a_bad_file() {
        let bad = UnitProperties {
            load_state: "bad".to_owned(),
            sub_state: "dead".to_owned(),
            unit_file_state: "bad".to_owned(),
            load_error: "error: unknown key\n --> web.container.toml:3:1\n".to_owned(),
            documentation: Vec::new(),
            image: String::new(),
            ..web()
        };
        insta::assert_snapshot!(unit(&bad, &Surroundings { processes: Vec::new(), ..around() }), @r#"
        ○ web.container - Web\nserver
             Loaded: bad (Reason: Unit web.container has a bad unit file.)
             Active: inactive (dead)
               Next: correct the file, see "sampanctl verify web"

        error: unknown key
         --> web.container.toml:3:1
        "#);
    }
}
