//! Questions about the images of the store, which a process of its own answers: the manager goes on meanwhile, and
//! has its memory for itself.

use super::Manager;
use super::control::reap;
use super::pull::naming;
use crate::image::text::printable;
use crate::manager::images::{Answer, Cause, Question, Refused};
use crate::paths::Paths;
use crate::sys::child::start_held;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// Asks about the store of these directories. A process that is not waited for ends all the same, with what it does.
pub async fn ask_store(paths: &Paths, question: &Question) -> Answer {
    ask(paths, question).await.unwrap_or_else(|error| {
        let reason = format!("{}: {error}", paths.helper("sampan-import").display());
        Answer::Refused(Refused { cause: Cause::Other, reason })
    })
}

async fn ask(paths: &Paths, question: &Question) -> io::Result<Answer> {
    let mut command = Command::new(paths.helper("sampan-import"));
    command
        .args(["keep", &serde_json::to_string(question)?])
        .arg("--root")
        .arg(paths.root())
        .arg("--store")
        .arg(paths.store())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let (mut process, held) = start_held(&mut command)?;
    reap(held);
    let output = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut answer = Vec::new();
    Receiver::from_owned_fd(OwnedFd::from(output))?.read_to_end(&mut answer).await?;
    match answer.is_empty() {
        true => Err(io::Error::other("it ended without a word")),
        false => Ok(serde_json::from_slice(&answer)?),
    }
}

/// What a text means at a moment: the same afterwards, whatever names come meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    /// A full name, an id, or the text itself where it means nothing that is whole.
    pub image: String,
    /// The names that go with it: itself, or all names of the image that an id means.
    pub names: Vec<String>,
}

impl Manager {
    /// What a text means that a user gives for an image of the store.
    pub fn meant(&self, text: &str) -> Meant {
        let store = naming(&self.store, &self.paths, text);
        if let Ok(Some(name)) = store.name(text) {
            return Meant { image: name.to_string(), names: vec![name.to_string()] };
        }
        let Ok(id) = store.resolve(text) else {
            return Meant { image: text.to_owned(), names: vec![printable(text.as_bytes())] };
        };
        let all = store.names().unwrap_or_default().into_iter();
        let mut names: Vec<String> =
            all.filter(|(_, other)| *other == id).map(|(name, _)| name.to_string()).collect();
        if names.is_empty() {
            names.push(id.to_string());
        }
        Meant { image: id.to_string(), names }
    }
}
