//! `sampanctl top`: what containers use, live, as systemd-cgtop(1) shows control groups.

mod sample;
mod screen;

use super::args::{Order, TopArgs};
use super::display::columns;
use super::error::CliError;
use super::output::{JsonLayout, Paging, print, print_json};
use super::text::{Column, Heading, Style, Table, Tone, quantity};
use crate::paths::Paths;
use crate::unit::pattern::matches_any;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::stdio::stdout;
use sample::{Row, Sample};
use screen::{Key, Screen};
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::time::Instant;

/// What is shown, and how.
struct View {
    order: Order,
    raw: bool,
    width: Option<usize>,
}

/// Runs the verb. It reads the control groups itself, and needs no manager.
///
/// # Errors
/// When the output cannot be written or the terminal cannot be used.
pub fn run(args: &TopArgs, paths: &Paths) -> anyhow::Result<u8> {
    let live = std::io::stdout().is_terminal() && !args.batch && args.output.json().is_none();
    let mut screen = if live { Some(Screen::open()?) } else { None };
    let mut view = View { order: args.order(), raw: args.raw, width: if live { columns() } else { None } };
    // Processor time is a difference: the first sample is only a beginning.
    let mut before = Sample::take(paths);
    let mut left = args.iterations.or(args.once.then_some(1)).unwrap_or(u64::MAX);
    let mut delay = args.delay;
    while left > 0 {
        let end = Instant::now() + delay;
        let key = match &mut screen {
            Some(screen) => screen.key(end)?,
            None => pause(stdout(), end)?,
        };
        match key {
            Some(Key::Quit) => break,
            Some(Key::Order(order)) => view.order = order,
            Some(Key::Faster) => delay = screen::faster(delay),
            Some(Key::Slower) => delay = screen::slower(delay),
            Some(Key::Raw) => view.raw = !view.raw,
            Some(Key::Now) => {}
            None => left -= 1,
        }
        let now = Sample::take(paths);
        let mut rows = now.since(&before);
        rows.retain(|row| matches_any(&args.units, &row.unit));
        sort(&mut rows, view.order);
        show(&rows, &view, args, screen.as_mut(), left)?;
        before = now;
    }
    Ok(0)
}

/// Waits until then. Whoever reads the tables quits by leaving: poll(2) tells it of a pipe without being asked.
fn pause(output: impl AsFd, end: Instant) -> Result<Option<Key>, CliError> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        // What is too long for the kernel never ends.
        let left = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&output, PollFlags::empty())], left.as_ref()) {
            Err(Errno::INTR) => {}
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(Key::Quit)),
            Err(error) => return Err(error.into()),
        }
    }
}

fn show(
    rows: &[Row],
    view: &View,
    args: &TopArgs,
    screen: Option<&mut Screen>,
    left: u64,
) -> anyhow::Result<()> {
    if let Some(layout) = args.output.json() {
        // Several tables are a stream of documents, one a line unless they are to be read by people.
        return print_json(&rows, if left > 0 { JsonLayout::OneLine } else { layout });
    }
    let style = Style::of_output();
    let text = render(rows, view, style);
    match screen {
        Some(screen) => screen.show(&text),
        None => print(&if left > 0 { text + "\n" } else { text }, Paging::Never),
    }
}

/// The largest first; equal ones by name.
fn sort(rows: &mut [Row], order: Order) {
    let io = |row: &Row| row.io_read_per_second.unwrap_or(0) + row.io_write_per_second.unwrap_or(0);
    rows.sort_by(|left, right| {
        let by = match order {
            Order::Path => std::cmp::Ordering::Equal,
            Order::Tasks => right.tasks.cmp(&left.tasks),
            Order::Cpu => right.cpu_percent.total_cmp(&left.cpu_percent),
            Order::Memory => right.memory.cmp(&left.memory),
            Order::Io => io(right).cmp(&io(left)),
        };
        by.then_with(|| left.unit.cmp(&right.unit))
    });
}

fn render(rows: &[Row], view: &View, style: Style) -> String {
    let headings = ["UNIT", "TASKS", "%CPU", "MEMORY", "PRIVATE", "SHARED", "CACHE", "INPUT/s", "OUTPUT/s"];
    let mut table = Table::new(&headings.map(Column::new));
    let bytes = |value: Option<u64>| match value {
        None => "-".to_owned(),
        Some(value) if view.raw => value.to_string(),
        Some(value) => quantity::bytes(value),
    };
    for row in rows {
        let cells = [
            row.unit.clone(),
            row.tasks.map_or("-".to_owned(), |tasks| tasks.to_string()),
            format!("{:.1}", row.cpu_percent),
            bytes(row.memory),
            bytes(row.memory_private),
            bytes(row.memory_shared),
            bytes(row.memory_page_cache),
            bytes(row.io_read_per_second),
            bytes(row.io_write_per_second),
        ];
        table.row(cells.map(|cell| (cell, Tone::Normal)));
    }
    table.render(style, Heading::Shown, view.width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(unit: &str, tasks: u64, cpu: f64, memory: u64) -> Row {
        Row {
            unit: unit.to_owned(),
            tasks: Some(tasks),
            cpu_percent: cpu,
            memory: Some(memory),
            memory_private: Some(memory / 2),
            ..Row::default()
        }
    }

    #[test]
    fn rows_are_sorted_by_what_is_wanted() {
        let mut rows =
            vec![row("a", 1, 0.0, 3 << 20), row("b", 9, 50.0, 1 << 20), row("c", 5, 12.5, 2 << 20)];
        let mut names = |order| {
            sort(&mut rows, order);
            rows.iter().map(|row| row.unit.as_str()).collect::<String>()
        };
        assert_eq!(
            [Order::Path, Order::Cpu, Order::Memory, Order::Tasks].map(&mut names),
            ["abc", "bca", "acb", "bca"]
        );
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let view = View { order: Order::Cpu, raw: false, width: None };
        insta::assert_snapshot!(render(&[row("web.container", 3, 12.34, 3 << 20)], &view, Style::PLAIN), @r"
        UNIT          TASKS %CPU MEMORY PRIVATE SHARED CACHE INPUT/s OUTPUT/s
        web.container 3     12.3 3.0M   1.5M    -      -     -       -
        ");
    }
}
