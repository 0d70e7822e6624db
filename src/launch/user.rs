//! Users and groups of an image, read from its own passwd(5) and group(5). Nothing of it is executed.

use super::failure::During;
use super::protocol::StepError;
use super::target;
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// Larger files are refused: an image must not make the launcher use memory.
const FILE_MAX: u64 = 1 << 20;
const STEP: &str = "resolve user";

/// Who the payload runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User id inside.
    pub uid: u32,
    /// Group id inside.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// `HOME`.
    pub home: String,
}

/// Resolves `name`, `uid`, `name:group` or `uid:gid` in the current root; empty is root. Further groups by name or
/// number come on top. What is hidden from the payload is not hidden here.
pub fn resolve(spec: &str, further: &[String], hidden: &[PathBuf]) -> Result<User, StepError> {
    let read = |path: &str| {
        // The outermost, below which no other counts.
        let hiding = hidden.iter().filter(|hidden| Path::new(path).starts_with(hidden)).min();
        let text = match hiding {
            Some(hiding) => target::read_below(hiding, Path::new(path), FILE_MAX),
            None => target::read(Path::new(path), FILE_MAX),
        };
        Ok(text.during(STEP, path)?.unwrap_or_default())
    };
    let (passwd, group) = (read("/etc/passwd")?, read("/etc/group")?);
    let mut user = lookup(spec, &passwd, &group)?;
    for name in further {
        let id = lookup_group(name, &group)?;
        if !user.groups.contains(&id) {
            user.groups.push(id);
        }
    }
    Ok(user)
}

fn lookup(spec: &str, passwd: &str, group: &str) -> Result<User, StepError> {
    let (name, group_name) = match spec.split_once(':') {
        // Without a group it is the user's own, as to other engines.
        Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
        None => (spec, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let row = records(passwd).find(|row| names(row, name, 2));
    let uid = row.as_ref().map_or_else(|| id(name), |row| id(row.get(2)?));
    let uid = uid.ok_or(Errno::SRCH).during(STEP, name)?;
    let primary = row.as_ref().and_then(|row| id(row.get(3)?)).unwrap_or(0);
    let (gid, mut groups) = match group_name {
        Some(group_name) => (lookup_group(group_name, group)?, Vec::new()),
        None => (primary, memberships(row.as_ref().and_then(|row| row.first().copied()), group)),
    };
    // As initgroups(3): a program that gives up its group keeps what was denied to that group denied.
    if !groups.contains(&gid) {
        groups.push(gid);
    }
    let home = row.as_ref().and_then(|row| row.get(5)).filter(|home| home.starts_with('/'));
    Ok(User { uid, gid, groups, home: home.copied().unwrap_or("/").to_owned() })
}

fn lookup_group(name: &str, group: &str) -> Result<u32, StepError> {
    let row = records(group).find(|row| names(row, name, 2));
    row.map_or_else(|| id(name), |row| id(row.get(2)?)).ok_or(Errno::SRCH).during("resolve group", name)
}

/// A number is always an id, also where somebody has it as a name.
fn names(row: &[&str], wanted: &str, id_field: usize) -> bool {
    match id(wanted) {
        Some(number) => row.get(id_field).and_then(|field| id(field)) == Some(number),
        None => row.first() == Some(&wanted),
    }
}

fn memberships(user: Option<&str>, group: &str) -> Vec<u32> {
    let Some(user) = user else { return Vec::new() };
    let has =
        |row: &[&str]| row.get(3).is_some_and(|members| members.split(',').any(|member| member == user));
    records(group).filter(|row| has(row)).filter_map(|row| id(row.get(2)?)).collect()
}

fn records(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

/// Decimal digits only; the last id stands for "none" in setresuid(2).
fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:web:/var/www:/bin/false\n1000:x:7:7::/:\n";
    const GROUP: &str = "root:x:0:\nweb:x:44:\nlog:x:4:syslog,web\nssl:x:50:web\n";

    #[test]
    fn names_and_numbers_are_found() {
        let web = User { uid: 33, gid: 44, groups: vec![4, 50, 44], home: "/var/www".into() };
        assert_eq!(lookup("web", PASSWD, GROUP), Ok(web.clone()));
        assert_eq!(lookup("33", PASSWD, GROUP), Ok(web.clone()));
        assert_eq!(lookup("web:", PASSWD, GROUP), Ok(web));
        let in_log = User { uid: 33, gid: 4, groups: vec![4], home: "/var/www".into() };
        assert_eq!(lookup("web:log", PASSWD, GROUP), Ok(in_log));
        assert_eq!(lookup("", PASSWD, GROUP).unwrap().home, "/root");
        assert_eq!(lookup("", "", "").unwrap().uid, 0);
    }

    #[test]
    fn a_user_that_is_called_like_a_number_is_not_taken_for_it() {
        let user = lookup("1000:1000", PASSWD, GROUP).unwrap();
        assert_eq!((user.uid, user.gid), (1000, 1000));
    }

    #[test]
    fn ids_out_of_range_are_nobody() {
        for spec in ["4294967295", "4294967296", "-1", "+1", "nobody", "web:nobody", " 0", "0x0"] {
            let error = lookup(spec, PASSWD, GROUP).unwrap_err();
            assert_eq!(error.errno, libc::ESRCH, "{spec}");
        }
        assert_eq!(lookup("web:nobody", PASSWD, GROUP).unwrap_err().step, "resolve group");
    }
}
