//! Timers on a private host: containers that start by themselves, again and again, whatever becomes of the manager.

mod support;

use std::fs::File;
use std::time::{Duration, SystemTime};
use support::host::Host;
use support::units::{shell, socket};

/// A oneshot that says that it ran. More keys of `[timer]` may follow.
fn job(timer: &str) -> String {
    let limit = "type = \"oneshot\"\nstart_limit = { burst = 0 }\n";
    format!("{}{limit}[timer]\naccuracy = \"1us\"\n{timer}\n", shell("echo it ran"))
}

/// When the container has begun so far, in microseconds since 1970.
fn runs(host: &Host, unit: &str) -> Vec<u64> {
    let scope = format!("--unit=sampan-{unit}.scope");
    let text = host.succeed(&["journalctl", "--output=short-unix", "--no-pager", "--quiet", &scope]);
    let lines = text.lines().filter(|line| line.ends_with("it ran"));
    let moment = |line: &str| line.split_whitespace().next().and_then(|time| time.parse::<f64>().ok());
    lines.filter_map(moment).map(|time| (time * 1e6) as u64).collect()
}

fn wait_runs(host: &Host, unit: &str, count: usize) -> Vec<u64> {
    host.wait_log(unit, "it ran");
    host.wait_until(&format!("{unit} has run {count} times"), |host| runs(host, unit).len() >= count);
    runs(host, unit)
}

fn kill_manager(host: &Host) {
    host.succeed(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "sampand"]);
}

#[test]
fn a_calendar_starts_a_oneshot_again_and_again_whatever_becomes_of_the_manager() {
    let host = Host::with_images(&["hello"]);
    host.unit("tick.container", &job("on_calendar = \"*:*:0/2\""));
    host.succeed(&["sampanctl", "start", "tick"]);
    wait_runs(&host, "tick", 3);
    kill_manager(&host);
    wait_runs(&host, "tick", 6);
    host.succeed(&["systemctl", "restart", "sampand"]);
    let began = wait_runs(&host, "tick", 9);
    // A busy host may leave one out or be late with one, but none runs twice.
    let periods = (began[began.len() - 1] - began[0]) / 2_000_000 + 2;
    assert!(began.len() as u64 <= periods, "{began:?}\n{}", host.recent());
    host.succeed(&["sampanctl", "stop", "tick"]);
    assert_eq!(host.property("tick", "ActiveState"), "inactive");
    assert_eq!(host.property("tick", "TimerState"), "dead");
    assert!(host.succeed(&["sampanctl", "list-timers", "--no-legend"]).is_empty());
    assert!(host.succeed(&["sampanctl", "list-timers", "--all", "--no-legend"]).contains("dead"));
    // What elapses while no manager is there is made up for by the next.
    host.unit("soon.container", &job("on_active = \"2s\""));
    host.succeed(&["sampanctl", "start", "soon"]);
    host.succeed(&["systemctl", "stop", "sampand"]);
    // A span of time is what is looked at.
    host.succeed(&["sleep", "3"]);
    host.succeed(&["systemctl", "start", "sampand"]);
    host.wait_property("soon", "SubState", "elapsed");
    assert_eq!(runs(&host, "soon").len(), 1, "{}", host.recent());
}

#[test]
fn a_unit_that_waits_says_when_it_starts() {
    let host = Host::with_images(&["hello"]);
    host.unit("rare.container", &job("on_calendar = \"*-02-29 03:00:00 UTC\""));
    host.succeed(&["sampanctl", "start", "rare"]);
    assert_eq!(host.property("rare", "ActiveState"), "active");
    assert_eq!(host.property("rare", "TimerState"), "waiting");
    let status = host.succeed(&["sampanctl", "status", "rare"]);
    assert!(status.contains("active (waiting)"), "{status}");
    let next = host.property("rare", "NextElapseUSecRealtime");
    assert!(next.contains("-02-29 03:00:00"), "{next}");
    assert!(status.contains(&format!("Trigger: {next}; ")), "{status}");
    let listed = host.succeed(&["sampanctl", "list-timers"]);
    assert!(listed.starts_with("NEXT") && listed.contains("rare.container"), "{listed}");
    assert!(listed.contains(&next) && listed.contains("1 timers listed."), "{listed}");
    assert_eq!(host.property("rare", "LastTriggerUSec"), "");
}

/// It is up while it waits, which is no run of it.
#[test]
fn status_tells_how_long_the_last_run_of_a_timed_unit_lasted() {
    let host = Host::with_images(&["hello"]);
    let script = "sleep 1.2; echo it ran";
    let oneshot = shell(script) + "type = \"oneshot\"\n[timer]\naccuracy = \"1us\"\non_active = \"100ms\"\n";
    host.unit("once.container", &(oneshot.clone() + "remain_after_elapse = false\n"));
    host.unit("kept.container", &oneshot);
    host.succeed(&["sampanctl", "start", "once", "kept"]);
    host.wait_property("once", "ActiveState", "inactive");
    host.wait_property("kept", "SubState", "elapsed");
    host.succeed(&["sampanctl", "stop", "kept"]);
    for unit in ["once", "kept"] {
        let status = host.answer(3, &["sampanctl", "status", unit]);
        let lasted = status.lines().find_map(|line| line.trim_start().strip_prefix("Duration: "));
        let seconds: f64 = lasted.and_then(|span| span.strip_suffix('s')).unwrap().parse().unwrap();
        assert!((1.2..60.0).contains(&seconds), "{status}");
    }
}

#[test]
fn what_the_host_missed_while_it_was_down_is_made_up_for() {
    let host = Host::with_images(&["hello"]);
    host.succeed(&["systemctl", "enable", "sampand"]);
    let install = "[install]\nwanted_by = [\"default.target\"]\n";
    host.unit("backup.container", &(job("on_calendar = \"yearly\"\npersistent = true\n") + install));
    host.unit("lazy.container", &(job("on_calendar = \"yearly\"\n") + install));
    host.succeed(&["sampanctl", "enable", "--now", "backup", "lazy"]);
    assert_eq!(host.property("backup", "SubState"), "waiting");
    // The host's files are at another place after each boot.
    let stamp = |host: &Host| host.path("/var/lib/sampan/timers/stamp-backup.container");
    host.wait_until("the stamp is made", |host| stamp(host).exists());
    host.reboot();
    host.wait_property("backup", "SubState", "waiting");
    assert!(runs(&host, "backup").is_empty(), "nothing was missed");
    // The last time was long ago.
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options()
        .append(true)
        .open(stamp(&host))
        .expect("it is there")
        .set_modified(old)
        .expect("it is set");
    host.reboot();
    assert_eq!(wait_runs(&host, "backup", 1).len(), 1, "{}", host.recent());
    host.wait_property("backup", "SubState", "waiting");
    let age = stamp(&host).metadata().expect("it is there").modified().expect("it has a time").elapsed();
    assert!(age.is_ok_and(|age| age < Duration::from_secs(600)), "the stamp is not touched");
    assert_eq!(runs(&host, "backup").len(), 1);
    assert!(runs(&host, "lazy").is_empty(), "nothing is made up for unless that is asked for");
}

#[test]
fn a_waiting_unit_runs_when_it_is_started_and_a_failure_is_told() {
    let host = Host::with_images(&["hello"]);
    let timer = "[timer]\non_unit_inactive = \"1s\"\naccuracy = \"1us\"\n";
    let failing = shell("echo it ran; exit 3") + "type = \"oneshot\"\nstart_limit = { burst = 0 }\n";
    host.unit("job.container", &(format!("[unit]\non_failure = [\"alarm.container\"]\n{failing}{timer}")));
    host.unit("alarm.container", &shell("echo alarm; exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "job"]);
    assert_eq!(host.property("job", "SubState"), "elapsed", "there is no run yet to count from");
    host.fail(1, &["sampanctl", "start", "job"]);
    wait_runs(&host, "job", 3);
    host.wait_property("alarm", "SubState", "running");
    host.wait_until("job waits after a failure, and list-timers tells it", |host| {
        let json = host.succeed(&["sampanctl", "list-timers", "--output=json", "job*"]);
        json.contains("\"waiting\"") && json.contains("\"exit-code\"")
    });
    host.wait_property("job", "ActiveState", "active");
    host.wait_property("job", "Result", "exit-code");
    host.succeed(&["sampanctl", "stop", "job"]);
    let count = runs(&host, "job").len();
    host.unit("other.container", &job("on_active = \"3s\"\nremain_after_elapse = false"));
    host.succeed(&["sampanctl", "start", "other"]);
    wait_runs(&host, "other", 1);
    host.wait_property("other", "SubState", "dead");
    assert_eq!(runs(&host, "job").len(), count, "a stopped unit has run");
}

#[test]
fn another_timer_in_the_file_is_in_effect_after_a_reload() {
    let host = Host::with_images(&["hello"]);
    host.unit("tick@.container", &job("on_calendar = \"yearly\""));
    host.succeed(&["sampanctl", "start", "tick@one"]);
    let yearly = host.property("tick@one", "TimersCalendar");
    assert!(yearly.starts_with("{ OnCalendar=yearly ; next_elapse="), "{yearly}");
    assert!(yearly.contains("-01-01 00:00:00"), "{yearly}");
    host.unit("tick@.container", &job("on_calendar = [\"*:*:0/2\", \"yearly\"]\non_boot = 1"));
    host.succeed(&["sampanctl", "daemon-reload"]);
    // A colon stands for the "@" in the name of its scope.
    wait_runs(&host, "tick:one", 2);
    let monotonic = host.property("tick@one", "TimersMonotonic");
    assert!(monotonic.starts_with("{ OnBootUSec=1s ; next_elapse="), "{monotonic}");
}

#[test]
fn an_idle_manager_sleeps_until_a_timer_is_due() {
    let host = Host::with_images(&["hello"]);
    for unit in 0..20 {
        let text =
            shell("true") + "type = \"oneshot\"\n[timer]\non_calendar = \"hourly\"\non_boot = \"2d\"\n";
        host.unit(&format!("t{unit}.container"), &text);
        host.succeed(&["sampanctl", "start", &format!("t{unit}")]);
    }
    let pid = host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]);
    let switches = || -> u64 {
        let status = host.succeed(&["cat", &format!("/proc/{}/status", pid.trim())]);
        let lines = status.lines().filter_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        lines.filter_map(|number| number.trim().parse::<u64>().ok()).sum()
    };
    // A span of time is what is looked at.
    let before = switches();
    host.succeed(&["sleep", "5"]);
    let woken = switches() - before;
    assert!(woken < 20, "20 timers that are due in an hour woke it {woken} times in 5 seconds");
}

/// Seconds since 1970 on the host.
fn clock(host: &Host) -> u64 {
    host.succeed(&["date", "+%s"]).trim().parse().expect("a number")
}

/// As systemd does: what has elapsed is looked at once, however often it has.
#[test]
fn ticks_that_a_manager_misses_are_one_run() {
    let host = Host::with_images(&["hello"]);
    host.unit("tick.container", &job("on_calendar = \"*:*:0/4\""));
    host.succeed(&["sampanctl", "start", "tick"]);
    let before = wait_runs(&host, "tick", 1).len();
    let signal = |signal: &str| {
        host.succeed(&["systemctl", "kill", &format!("--signal={signal}"), "--kill-whom=main", "sampand"]);
    };
    signal("STOP");
    // Spans of time are what is looked at.
    host.succeed(&["sleep", "9"]);
    let missed = runs(&host, "tick").len();
    assert!(missed <= before + 1, "it ran without a manager");
    let awake = clock(&host);
    signal("CONT");
    let after = wait_runs(&host, "tick", missed + 2);
    let (made_up, next) = (after[missed] / 1_000_000, after[missed + 1] / 1_000_000);
    assert!(made_up >= awake && next / 4 > awake / 4, "{after:?}, awake since {awake}\n{}", host.recent());
}

#[test]
fn a_socket_and_a_timer_start_one_container() {
    let host = Host::with_images(&["hello"]);
    let text = shell("echo it ran; exec sleep 1000")
        + &socket("127.0.0.1:8080", "\"fd\"")
        + "[timer]\non_calendar = \"*:*:0/1\"\naccuracy = \"1us\"\n";
    host.unit("web.container", &text);
    for first in ["the timer", "a connection"] {
        let count = runs(&host, "web").len();
        host.succeed(&["sampanctl", "start", "web"]);
        let connection = (first == "a connection").then(|| host.connect("127.0.0.1:8080").expect(first));
        wait_runs(&host, "web", count + 1);
        host.wait_property("web", "SubState", "running");
        let process = host.property("web", "MainPID");
        let other = host.connect("127.0.0.1:8080").expect("the socket listens");
        // Some of its ticks pass.
        host.succeed(&["sleep", "3"]);
        assert_eq!(host.property("web", "MainPID"), process, "{first}");
        assert_eq!(runs(&host, "web").len(), count + 1, "{first}");
        drop((connection, other));
        host.succeed(&["sampanctl", "stop", "web"]);
    }
}

#[test]
fn a_fixed_random_delay_is_the_same_each_time() {
    let host = Host::with_images(&["hello"]);
    let timer = "on_calendar = \"yearly\"\nrandomized_delay = \"1h\"\nfixed_random_delay = true";
    let units = ["one", "two", "three"];
    let next = || units.map(|unit| host.property(unit, "NextElapseUSecRealtime"));
    for unit in units {
        host.unit(&format!("{unit}.container"), &job(timer));
        host.succeed(&["sampanctl", "start", unit]);
    }
    let first = next();
    assert!(first[0] != first[1] || first[1] != first[2], "each unit has its own: {first:?}");
    assert!(first.iter().all(|next| next.contains("-01-01 00:")), "{first:?}");
    host.succeed(&[&["sampanctl", "restart"][..], &units].concat());
    assert_eq!(next(), first);
    host.succeed(&["systemctl", "restart", "sampand"]);
    assert_eq!(next(), first);
    // What the calendar alone says.
    assert!(host.property("one", "TimersCalendar").contains("-01-01 00:00:00"));
}

#[test]
fn another_time_zone_starts_what_waits_for_it_and_moves_the_calendar() {
    let host = Host::with_images(&["hello"]);
    let zone = |name: &str| {
        let link = format!("ln -sfn /usr/share/zoneinfo/{name} /etc/new && mv -T /etc/new /etc/localtime");
        host.succeed(&["sh", "-c", &link]);
    };
    zone("UTC");
    host.unit("moved.container", &job("on_timezone_change = true"));
    host.unit("noon.container", &job("on_calendar = \"*-06-01 12:00:00\""));
    host.succeed(&["sampanctl", "start", "moved", "noon"]);
    assert_eq!(host.property("moved", "SubState"), "waiting");
    let moment = || {
        let json =
            host.succeed(&["sampanctl", "show", "--output=json", "-p", "NextElapseUSecRealtime", "noon"]);
        json.chars().filter(char::is_ascii_digit).collect::<String>().parse::<u64>().expect("a number")
    };
    let before = moment();
    zone("Asia/Tokyo");
    assert_eq!(wait_runs(&host, "moved", 1).len(), 1);
    assert_eq!(before - moment(), 9 * 3600 * 1_000_000);
    host.wait_property("moved", "SubState", "waiting");
    assert!(runs(&host, "noon").is_empty());
}

#[test]
fn a_host_that_nothing_can_wake_has_its_timers_all_the_same() {
    let host = Host::with_images(&["hello"]);
    host.succeed(&["sh", "-c", "test ! -d /sys/class/rtc || mount -t tmpfs none /sys/class/rtc"]);
    host.unit("early.container", &job("on_calendar = \"*:*:0/2\"\nwake_system = true"));
    host.succeed(&["sampanctl", "start", "early"]);
    host.journal(&["--unit=sampand"]).wait("timers do not wake this host when it is suspended");
    wait_runs(&host, "early", 2);
    assert_eq!(host.property("early", "WakeSystem"), "yes");
}

#[test]
fn when_a_persistent_timer_elapsed_can_be_forgotten() {
    let host = Host::with_images(&["hello"]);
    host.unit("backup.container", &job("on_calendar = \"yearly\"\npersistent = true\n"));
    host.succeed(&["sampanctl", "start", "backup"]);
    let stamp = ["test", "-e", "/var/lib/sampan/timers/stamp-backup.container"];
    host.wait_until("the stamp is made", |host| host.run(&stamp).status.success());
    let clean = ["sampanctl", "clean", "--what=state", "backup"];
    assert!(host.fail(1, &clean).contains("is active or has a job: stop it first"));
    host.succeed(&["sampanctl", "stop", "backup"]);
    assert!(host.fail(1, &["sampanctl", "clean", "backup"]).contains("has left nothing of this behind"));
    host.succeed(&clean);
    assert!(!host.run(&stamp).status.success());
    host.fail(1, &clean);
    host.fail(1, &["sampanctl", "clean", "--what=logs", "backup"]);
}

/// A clock that can be set is that of a kernel of the test's own.
#[test]
fn a_clock_that_is_set_starts_what_waits_for_it() {
    let host = Host::with_controllers(&["hello"]);
    host.unit("set.container", &job("on_clock_change = true"));
    host.unit("year.container", &job("on_calendar = \"yearly\""));
    host.succeed(&["sampanctl", "start", "set", "year"]);
    let year: i32 = host.succeed(&["date", "-u", "+%Y"]).trim().parse().expect("a number");
    let set = |moment: &str| host.succeed(&["date", "-u", "--set", &format!("{}-{moment}", year + 3)]);
    set("06-30 12:00:00");
    wait_runs(&host, "set", 1);
    host.wait_property("set", "SubState", "waiting");
    // What the calendar has left out is made up for once.
    wait_runs(&host, "year", 1);
    host.wait_property("year", "SubState", "waiting");
    assert_eq!(runs(&host, "year").len(), 1);
    // And it goes by the new time.
    set("12-31 23:59:57");
    assert_eq!(wait_runs(&host, "year", 2).len(), 2);
    assert!(runs(&host, "set").len() >= 2);
}
