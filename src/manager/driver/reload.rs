//! Has a payload read its configuration again: a signal to its main process, or a command inside.

use super::Manager;
use super::control::{failure, io_failure};
use super::exec::ExecError;
use super::handle::ExecRequest;
use super::stop::send;
use crate::manager::machine::{Event, Exit, Failure};
use crate::unit::model::Reload;
use crate::unit::name::UnitName;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use tokio::sync::oneshot;

impl Manager {
    pub(super) fn reload_container(&mut self, unit: &UnitName, run: u64) {
        let managed = self.machine.unit(unit);
        let reload = managed.and_then(|managed| managed.container()).and_then(|own| own.reload.clone());
        match reload {
            Some(Reload::Command(words)) => self.reload_by_command(unit, run, words),
            Some(Reload::Signal(_)) if self.run_of(unit, run).is_some_and(|live| self.is_frozen(&live)) => {
                let result = Err(failure(format!("reload: {}", ExecError::Frozen(unit.clone())), 0));
                self.later(Event::Reloaded { unit: unit.clone(), run, result });
            }
            Some(Reload::Signal(signal)) => {
                let result = self.reload_by_signal(unit, run, signal);
                let result = result.map_err(|error| io_failure("reload", &error));
                self.later(Event::Reloaded { unit: unit.clone(), run, result });
            }
            None => self.later(Event::Reloaded { unit: unit.clone(), run, result: Ok(()) }),
        }
    }

    /// To the process that the payload names as its main one, or to the first when that one is gone.
    fn reload_by_signal(&self, unit: &UnitName, run: u64, signal: i32) -> io::Result<()> {
        let live = self.run_of(unit, run).ok_or(io::ErrorKind::NotFound)?;
        let first = live.process.get().ok_or(io::ErrorKind::NotFound)?;
        match self.named_main(unit, first) {
            Some(named) => send(&named, signal),
            None => send(&first.pidfd, signal),
        }
    }

    fn reload_by_command(&mut self, unit: &UnitName, run: u64, command: Vec<String>) {
        let stdio = match null() {
            Ok(stdio) => stdio,
            Err(error) => {
                let result = Err(io_failure("/dev/null", &error));
                return self.later(Event::Reloaded { unit: unit.clone(), run, result });
            }
        };
        let request = ExecRequest {
            unit: unit.clone(),
            command,
            environment: Vec::new(),
            user: None,
            directory: None,
            stdio,
            leash: None,
        };
        let (sender, receiver) = oneshot::channel();
        self.exec(request, sender);
        let (unit, notes) = (unit.clone(), self.notes.clone());
        tokio::task::spawn_local(async move {
            let result = receiver.await.map_or_else(|_| Ok(()), outcome);
            // The receiver lives as long as the loop.
            let _ = notes.send(super::Note::Event(Event::Reloaded { unit, run, result }));
        });
    }
}

fn outcome(result: Result<Exit, ExecError>) -> Result<(), Failure> {
    match result {
        Ok(Exit::Code(0)) => Ok(()),
        Ok(exit) => {
            let (_, status) = exit.code_and_status();
            Err(Failure { message: format!("reload_command: status {status}"), errno: 0, exit: Some(exit) })
        }
        Err(error) => Err(failure(format!("reload_command: {error}"), 0)),
    }
}

fn null() -> io::Result<[OwnedFd; 3]> {
    let open = || File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    Ok([open()?, open()?, open()?])
}
