//! Questions about the images of the store: each is answered by a process, so there are never more than one that look
//! and one that changes something, and those who ask for the same list at the same time share it.

use super::call::Call;
use super::error::BusError;
use crate::manager::driver::ask_store;
use crate::manager::images::list::Listed;
use crate::manager::images::{Answer, Cause, Question, Refused};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// What a list costs its user at most: what is looked at for the first time takes long, and nobody can help it.
const CHARGE_MAX: Duration = Duration::from_millis(100);

/// The list of all images, and when its making began.
type Made = (Instant, Rc<Vec<Listed>>);

/// The turns of those who ask.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    looking: Mutex<Option<Made>>,
    changing: Mutex<()>,
}

impl Catalogue {
    /// All images, as they are at some moment after the call.
    pub(super) async fn all(&self, call: &Call) -> Result<Rc<Vec<Listed>>, BusError> {
        let asked = Instant::now();
        let mut made = self.looking.lock().await;
        if let Some((_, list)) = made.as_ref().filter(|(begun, _)| *begun >= asked) {
            return Ok(Rc::clone(list));
        }
        let begun = Instant::now();
        let list = Rc::new(look(call, Vec::new()).await?);
        *made = Some((begun, Rc::clone(&list)));
        Ok(list)
    }

    /// The images that these words mean.
    pub(super) async fn meant_by(&self, call: &Call, words: Vec<String>) -> Result<Vec<Listed>, BusError> {
        let _turn = self.looking.lock().await;
        look(call, words).await
    }

    /// Has something changed.
    pub(super) async fn change(&self, call: &Call, question: Question) -> Result<Answer, BusError> {
        let _turn = self.changing.lock().await;
        ask(call, question).await
    }
}

async fn look(call: &Call, words: Vec<String>) -> Result<Vec<Listed>, BusError> {
    let begun = Instant::now();
    let answer = ask(call, Question::List { words }).await?;
    call.shared.allowance.charge(call.user(), begun, Instant::now().min(begun + CHARGE_MAX));
    match answer {
        Answer::Listed(list) => Ok(list),
        answer => Err(unexpected(&answer)),
    }
}

async fn ask(call: &Call, question: Question) -> Result<Answer, BusError> {
    let paths = call.with(|manager| manager.paths().clone()).await?;
    match ask_store(&paths, &question).await {
        Answer::Refused(refused) => Err(refused.into()),
        answer => Ok(answer),
    }
}

/// The error of an answer to another question, as the process of another version gives it.
pub(super) fn unexpected(answer: &Answer) -> BusError {
    BusError::Failed(format!("sampan-import is not of this version: it answers {answer:?}."))
}

impl From<Refused> for BusError {
    fn from(refused: Refused) -> Self {
        match refused.cause {
            Cause::NoImage => Self::NoSuchImage(refused.reason),
            Cause::InUse => Self::ImageInUse(refused.reason),
            Cause::Other => Self::Failed(refused.reason),
        }
    }
}
