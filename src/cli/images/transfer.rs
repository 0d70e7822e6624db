//! One transfer of the manager, from the call that asks for it to its end, as its signals tell it.

use std::collections::{BTreeMap, VecDeque};
use zbus::{Message, OwnedObjectPath};

use super::progress::Display;
use crate::cli::client::{Client, Heard, Listener};
use crate::cli::error::CliError;
use crate::cli::transfers::Transfers;
use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::transfer::{Imported, Report, Step};

/// Listens to transfers; made before one is asked for, so that nothing of it is missed.
pub(super) struct Watch {
    listener: Listener,
    /// What came before the answer to the call.
    early: VecDeque<Heard>,
    /// What is asked for, for errors: `pull docker.io/library/nginx:1`.
    action: String,
}

/// What a signal does to the transfer.
enum Told {
    GoesOn,
    Finished,
    Failed(String),
    Canceled,
}

impl Watch {
    pub(super) async fn new(client: &Client, action: &str) -> anyhow::Result<Self> {
        let listener = client.listen(&[Transfers::SIGNALS]).await?;
        Ok(Self { listener, early: VecDeque::new(), action: action.to_owned() })
    }

    /// Makes the call. Signals are taken in meanwhile: one who is asked for a password takes time, and a full queue
    /// would keep the answer out.
    pub(super) async fn during<T>(
        &mut self,
        call: impl Future<Output = zbus::Result<T>>,
    ) -> anyhow::Result<T> {
        tokio::pin!(call);
        loop {
            tokio::select! {
                answer = &mut call => {
                    return answer.map_err(|error| CliError::of_call(&self.action, error).into());
                }
                Some(heard) = self.listener.next() => self.early.push_back(heard),
            }
        }
    }

    /// Shows a transfer until its end.
    pub(super) async fn wait(
        &mut self,
        transfer: &OwnedObjectPath,
        display: &mut Display,
    ) -> anyhow::Result<Report> {
        let mut shown = Shown { report: Report::default(), parts: BTreeMap::new(), display };
        loop {
            let signal = self.next().await?;
            if signal.header().path().is_none_or(|path| path.as_str() != transfer.as_str()) {
                continue;
            }
            match shown.hear(&signal) {
                Told::GoesOn => {}
                Told::Finished => return Ok(shown.report),
                Told::Failed(reason) => anyhow::bail!("{reason}"),
                Told::Canceled => anyhow::bail!("somebody has cancelled it"),
            }
        }
    }

    async fn next(&mut self) -> Result<Message, CliError> {
        let heard = match self.early.pop_front() {
            Some(heard) => Some(heard),
            None => self.listener.next().await,
        };
        match heard {
            Some(Heard::Signal(signal)) => Ok(signal),
            Some(Heard::Left) | None => Err(CliError::Left { action: self.action.clone() }),
        }
    }
}

/// What is known of a transfer.
struct Shown<'a> {
    report: Report,
    /// Parts, and whether all of each has come.
    parts: BTreeMap<String, bool>,
    display: &'a mut Display,
}

impl Shown<'_> {
    /// A signal of another form than ours is of a newer manager.
    fn hear(&mut self, signal: &Message) -> Told {
        let (header, body) = (signal.header(), signal.body());
        let text = || body.deserialize::<&str>().unwrap_or_default().to_owned();
        match header.member().map(|member| member.as_str()).unwrap_or_default() {
            "Resolved" => {
                if let Ok((server, digest)) = body.deserialize::<(&str, &str)>() {
                    self.display.say(&format!("Pulling {digest} from {server}"));
                }
            }
            "Progress" => {
                if let Ok((part, done, total)) = body.deserialize::<(&str, u64, u64)>() {
                    self.progress(part, done, total);
                }
            }
            "Retrying" => self.display.say(&format!("Trying again: {}", text())),
            "Writing" => {
                let entries = body.deserialize().unwrap_or_default();
                self.display.step(&Step::Committing { entries });
            }
            "Imported" => {
                let imported = body.deserialize().ok().and_then(|told| imported(&told));
                self.report.images.extend(imported);
            }
            "Healed" => self.report.healed = body.deserialize().unwrap_or_default(),
            "Finished" => return Told::Finished,
            "Failed" => return Told::Failed(text()),
            "Canceled" => return Told::Canceled,
            _ => {}
        }
        Told::GoesOn
    }

    /// The first word of a part is its begin, and the first that is of all of it afterwards its end.
    fn progress(&mut self, part: &str, done: u64, total: u64) {
        let name = part.to_owned();
        match self.parts.get(part) {
            None => {
                let size = (total > 0).then_some(total);
                self.display.step(&Step::Begun { part: name.clone(), size });
                self.display.step(&Step::Advanced { part: name.clone(), done });
                self.parts.insert(name, false);
            }
            Some(false) if done == total => {
                self.display.step(&Step::Ended { part: name.clone() });
                self.parts.insert(name, true);
            }
            // It begins again.
            Some(true) if done < total => {
                self.display.step(&Step::Begun { part: name.clone(), size: Some(total) });
                self.parts.insert(name, false);
            }
            Some(false) => self.display.step(&Step::Advanced { part: name, done }),
            Some(true) => {}
        }
    }
}

/// What `Imported` tells: id, names, whether it was there, and notices.
fn imported((id, names, present, notices): &(String, Vec<String>, bool, Vec<String>)) -> Option<Imported> {
    let names = names.iter().filter_map(|name| Reference::parse(name).ok()).collect();
    Some(Imported { id: Digest::parse(id).ok()?, names, present: *present, notices: notices.clone() })
}
