//! `sampanctl blame`: how long the last starts of units took, the longest first, and in which phase.

use super::args::BlameArgs;
use super::client::talk;
use super::display::Layout;
use super::select;
use super::text::{Tone, escaped, time};
use super::unit_properties::{Value, Values};
use serde::Serialize;

/// The last start of one unit. Times are microseconds.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Start {
    unit: String,
    time: u64,
    phases: Vec<(String, u64)>,
}

/// Runs the verb.
///
/// # Errors
/// When a word is no name or the manager cannot be reached.
pub fn run(args: &BlameArgs) -> anyhow::Result<u8> {
    let mut starts = talk(async |client| {
        let names = match args.units.as_slice() {
            [] => select::all(client).await?,
            words => select::units(client, words).await?,
        };
        let mut starts = Vec::new();
        for name in names {
            let values = client.values(&name).await?;
            starts.extend(start(name, &values));
        }
        Ok(starts)
    })?;
    starts.sort_by(|left, right| right.time.cmp(&left.time).then_with(|| left.unit.cmp(&right.unit)));
    args.display.show(&starts, |layout| render(&starts, layout))?;
    Ok(0)
}

/// `None` for a unit that has not started, and for one that has nothing to do.
fn start(unit: String, values: &Values) -> Option<Start> {
    let Some(Value::Numbers(phases)) = values.get("StartPhases") else { return None };
    let time = phases.iter().map(|(_, time)| time).sum();
    (!phases.is_empty()).then(|| Start { unit, time, phases: phases.clone() })
}

fn render(starts: &[Start], layout: &Layout) -> String {
    let spans: Vec<String> = starts.iter().map(|start| time::span(start.time)).collect();
    let width = spans.iter().map(String::len).max().unwrap_or_default();
    let mut text = String::new();
    for (start, span) in starts.iter().zip(spans) {
        let phases = start.phases.iter().filter(|(_, time)| *time >= 1000);
        let phases: Vec<String> =
            phases.map(|(name, time)| format!("{} {}", escaped(name), time::span(*time))).collect();
        let phases = if phases.is_empty() { String::new() } else { format!(" ({})", phases.join(", ")) };
        text.push_str(&format!(
            "{span:>width$} {}{}\n",
            start.unit,
            layout.style.paint(Tone::Faint, &phases)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_tell_their_phases() {
        let start = |unit: &str, phases: &[(&str, u64)]| {
            let phases = phases.iter().map(|(name, time)| ((*name).to_owned(), *time)).collect();
            let values = Values::from([("StartPhases".to_owned(), Value::Numbers(phases))]);
            super::start(unit.to_owned(), &values).unwrap()
        };
        let starts = [
            start("web.container", &[("pull", 1_200_000), ("scope", 3_000), ("container", 12_000)]),
            start("db.container", &[("scope", 900)]),
        ];
        insta::assert_snapshot!(render(&starts, &Layout::PLAIN), @r"
        1.215s web.container (pull 1.2s, scope 3ms, container 12ms)
         900us db.container
        ");
    }
}
