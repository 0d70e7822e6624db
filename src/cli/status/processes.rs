//! The processes of a control group as a tree, read from the kernel's files.

use crate::cli::text::{Style, Tone, cut, escaped};
use crate::paths::Paths;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of the tree are indented by the labels before them.
const INDENTATION: usize = 13;
/// Enough for any container that does what it should.
const DEPTH_MAX: usize = 16;

/// The name of a process, proc_pid_comm(5); `None` when there is no such process.
pub fn name(paths: &Paths, pid: u64) -> Option<String> {
    let name = fs::read_to_string(process(paths, pid).join("comm")).ok()?;
    Some(escaped(name.trim_end()).into_owned())
}

/// Lines such as `├─12 nginx: master process`, those of child groups indented; cut to the width of the
/// terminal.
pub fn tree(paths: &Paths, control_group: &str, width: Option<usize>, style: Style) -> Vec<String> {
    let relative = control_group.trim_start_matches('/');
    if relative.is_empty() {
        return Vec::new();
    }
    let mut tree = Tree { paths, style, width, lines: Vec::new() };
    tree.group(&hierarchy(paths).join(relative), "", 0);
    tree.lines
}

/// Where the unified hierarchy is: of its own on new hosts, below the old ones on hybrid hosts.
fn hierarchy(paths: &Paths) -> PathBuf {
    let root = paths.control_groups();
    let hybrid = root.join("unified");
    if !root.join("cgroup.procs").exists() && hybrid.exists() { hybrid } else { root }
}

struct Tree<'a> {
    paths: &'a Paths,
    style: Style,
    width: Option<usize>,
    lines: Vec<String>,
}

impl Tree<'_> {
    fn group(&mut self, directory: &Path, indentation: &str, depth: usize) {
        let (pids, children) = (pids(directory), children(directory));
        let last = pids.len() + children.len();
        let width = pids.iter().map(|pid| pid.to_string().len()).max().unwrap_or_default();
        let glyphs = self.style.glyphs;
        let branch = |number: usize| if number == last { glyphs.last_branch() } else { glyphs.branch() };
        for (index, pid) in pids.iter().enumerate() {
            let text = format!("{pid:>width$} {}", command(self.paths, *pid));
            self.line(&format!("{indentation}{}", branch(index + 1)), &text, Tone::Faint);
        }
        for (index, child) in children.iter().enumerate() {
            let number = pids.len() + index + 1;
            let name = child.file_name().unwrap_or_default().to_string_lossy();
            self.line(&format!("{indentation}{}", branch(number)), &escaped(&name), Tone::Normal);
            if depth < DEPTH_MAX {
                let rail = if number == last { "  " } else { glyphs.rail() };
                self.group(child, &format!("{indentation}{rail}"), depth + 1);
            }
        }
    }

    fn line(&mut self, branch: &str, text: &str, tone: Tone) {
        let left = self.width.map(|width| width.saturating_sub(INDENTATION + branch.chars().count()));
        let text = left.map_or_else(|| text.to_owned(), |left| cut(text, left, self.style.glyphs));
        self.lines.push(format!("{branch}{}", self.style.paint(tone, &text)));
    }
}

fn pids(directory: &Path) -> Vec<u64> {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// Child groups that have processes, by name.
fn children(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut children: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| {
            let events = fs::read_to_string(path.join("cgroup.events"));
            events.is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
        })
        .collect();
    children.sort();
    children
}

fn command(paths: &Paths, pid: u64) -> String {
    let arguments = fs::read(process(paths, pid).join("cmdline")).unwrap_or_default();
    let words: Vec<_> = arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let line = words.join(" ");
    match line.trim_end() {
        // A process that has overwritten its arguments, or has none, has a name all the same.
        "" => format!("[{}]", name(paths, pid).unwrap_or_else(|| "n/a".to_owned())),
        // Our init is executed by a descriptor, which tells nobody anything.
        line if line.starts_with("/proc/self/fd/") => name(paths, pid).unwrap_or_else(|| line.to_owned()),
        line => escaped(line).into_owned(),
    }
}

fn process(paths: &Paths, pid: u64) -> PathBuf {
    paths.root().join("proc").join(pid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn processes_are_a_tree() {
        let root = tempfile::tempdir().unwrap();
        let scope = "sys/fs/cgroup/unified/sampan.slice/sampan-web.scope";
        file(root.path(), &format!("{scope}/cgroup.procs"), "13\n7\n");
        file(root.path(), &format!("{scope}/inner/cgroup.procs"), "21\n");
        file(root.path(), &format!("{scope}/inner/cgroup.events"), "populated 1\nfrozen 0\n");
        file(root.path(), &format!("{scope}/empty/cgroup.events"), "populated 0\nfrozen 0\n");
        file(root.path(), "proc/7/cmdline", "nginx: master process\0-g\0daemon off;\0");
        file(root.path(), "proc/13/cmdline", "evil\x1b[2J\0");
        file(root.path(), "proc/21/comm", "worker\n");
        let paths = Paths::new(root.path());
        let group = "/sampan.slice/sampan-web.scope";
        insta::assert_snapshot!(tree(&paths, group, None, Style::PLAIN).join("\n"), @r"
        ├─ 7 nginx: master process -g daemon off;
        ├─13 evil\x1b[2J
        └─inner
          └─21 [worker]
        ");
        assert_eq!(tree(&paths, group, Some(30), Style::PLAIN)[0], "├─ 7 nginx: mast…");
        assert_eq!(name(&paths, 21).as_deref(), Some("worker"));
    }

    #[test]
    fn a_unit_without_a_group_has_no_processes() {
        assert_eq!(tree(&Paths::default(), "", None, Style::PLAIN), Vec::<String>::new());
    }
}
