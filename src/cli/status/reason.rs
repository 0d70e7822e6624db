//! Why a unit failed, and what to do next.

use crate::cli::unit_properties::{Ending, UnitProperties};
use crate::sys::errno;

/// What a person does next about a unit that failed; `None` where there is nothing to say.
pub fn next_step(unit: &UnitProperties) -> Option<String> {
    let name = unit.id.strip_suffix(".container").unwrap_or(&unit.id);
    if unit.load_state == "bad" {
        return Some(format!("correct the file, see \"sampanctl verify {name}\""));
    }
    if !unit.active_state.is_down() {
        return None;
    }
    let missing_image = !unit.launch_error.is_empty() && unit.launch_error.contains("no such image");
    Some(match unit.result.as_str() {
        "start-limit-hit" | "trigger-limit-hit" => {
            format!(
                "see \"sampanctl logs {name}\", then \"sampanctl reset-failed {name}\" and start it again"
            )
        }
        "oom-kill" => format!(
            "raise it with \"sampanctl set-property {name} memory_max=SIZE\", or find what takes the memory"
        ),
        "resources" if missing_image => format!("bring it in with \"sampanctl pull {}\"", unit.image),
        "resources" => plan(name),
        "exit-code" if is_of_launch(unit) => plan(name),
        "timeout" => format!(
            "see \"sampanctl logs {name}\", and start_timeout and stop_timeout in sampan.container(5)"
        ),
        "protocol" => "with type = \"notify\" the payload has to send READY=1, see sd_notify(3)".to_owned(),
        "exit-code" | "signal" | "core-dump" | "watchdog" => {
            format!("see what it said in \"sampanctl logs -I {name}\"")
        }
        _ => return None,
    })
}

fn plan(name: &str) -> String {
    format!("the steps of the launch are told by \"sampanctl show --plan {name}\"")
}

/// Whether the payload was not there yet: it has said nothing.
fn is_of_launch(unit: &UnitProperties) -> bool {
    // systemd.exec(5), "Process Exit Codes".
    let is_systemds = matches!(unit.exec_main, Some(Ending::Exited(200..=254)));
    is_systemds && !unit.launch_error.is_empty()
}

/// The error of the launch with the name of its errno, where the message has only the words; without one, what the
/// payload has told of itself.
pub fn launch_error(unit: &UnitProperties) -> String {
    let number = i32::try_from(unit.status_errno).unwrap_or_default();
    let words = errno::words(&std::io::Error::from_raw_os_error(number));
    // Where the reason is not the kernel's, the number is the class of it and no more.
    let has_words = unit.launch_error.contains(&words);
    let name = errno_name(number).filter(|name| has_words && !unit.launch_error.contains(*name));
    match (unit.launch_error.as_str(), name) {
        ("", _) if number == 0 => String::new(),
        ("", _) => format!("{number} ({words})"),
        (error, Some(name)) => format!("{error} ({name})"),
        (error, None) => error.to_owned(),
    }
}

/// The names that a launch meets, errno(3).
fn errno_name(errno: i32) -> Option<&'static str> {
    use rustix::io::Errno;
    let names = [
        (Errno::PERM, "EPERM"),
        (Errno::NOENT, "ENOENT"),
        (Errno::IO, "EIO"),
        (Errno::NOEXEC, "ENOEXEC"),
        (Errno::AGAIN, "EAGAIN"),
        (Errno::NOMEM, "ENOMEM"),
        (Errno::ACCESS, "EACCES"),
        (Errno::BUSY, "EBUSY"),
        (Errno::EXIST, "EEXIST"),
        (Errno::NODEV, "ENODEV"),
        (Errno::NOTDIR, "ENOTDIR"),
        (Errno::ISDIR, "EISDIR"),
        (Errno::INVAL, "EINVAL"),
        (Errno::MFILE, "EMFILE"),
        (Errno::NOSPC, "ENOSPC"),
        (Errno::ROFS, "EROFS"),
        (Errno::LOOP, "ELOOP"),
        (Errno::NAMETOOLONG, "ENAMETOOLONG"),
        (Errno::OVERFLOW, "EOVERFLOW"),
        (Errno::OPNOTSUPP, "EOPNOTSUPP"),
        (Errno::ADDRINUSE, "EADDRINUSE"),
        (Errno::ADDRNOTAVAIL, "EADDRNOTAVAIL"),
        (Errno::DQUOT, "EDQUOT"),
        (Errno::XDEV, "EXDEV"),
        (Errno::NXIO, "ENXIO"),
        (Errno::FBIG, "EFBIG"),
        (Errno::TOOBIG, "E2BIG"),
    ];
    names.into_iter().find(|(known, _)| known.raw_os_error() == errno).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::unit_properties::ActiveState;

    #[test]
    fn a_failure_names_the_next_step() {
        let failed = |result: &str| UnitProperties {
            id: "web.container".to_owned(),
            active_state: ActiveState::Failed,
            result: result.to_owned(),
            ..UnitProperties::default()
        };
        let step = |result| next_step(&failed(result)).unwrap();
        assert!(step("start-limit-hit").contains("sampanctl reset-failed web"));
        assert!(step("exit-code").contains("sampanctl logs -I web"));
        assert_eq!(next_step(&failed("success")), None);
        let unstarted = UnitProperties {
            exec_main: Some(Ending::Exited(226)),
            launch_error: "open bind: /srv/no: No such file or directory".to_owned(),
            ..failed("exit-code")
        };
        assert!(next_step(&unstarted).unwrap().contains("sampanctl show --plan web"));
        let running = UnitProperties { active_state: ActiveState::Active, ..failed("exit-code") };
        assert_eq!(next_step(&running), None);
    }

    #[test]
    fn the_errno_is_named_once() {
        let unit = |error: &str| UnitProperties {
            launch_error: error.to_owned(),
            status_errno: 2,
            ..UnitProperties::default()
        };
        assert_eq!(
            launch_error(&unit("execute: /bin/nope: No such file or directory")),
            "execute: /bin/nope: No such file or directory (ENOENT)"
        );
        assert_eq!(launch_error(&unit("no such image")), "no such image");
        assert_eq!(launch_error(&unit("ENOENT")), "ENOENT");
        assert_eq!(launch_error(&unit("")), "2 (No such file or directory)");
        assert_eq!(launch_error(&UnitProperties::default()), "");
    }
}
