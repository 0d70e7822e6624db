//! Has a payload read its configuration again: a signal to its main process, or a command inside.

use super::Manager;
use super::commands::{failed, stdio};
use super::control::{failure, io_failure};
use super::exec::{ExecError, ExecTask};
use super::handle::ExecRequest;
use super::stop::send;
use crate::manager::machine::{Event, Exit, Failure};
use crate::unit::model::Reload;
use crate::unit::name::UnitName;
use std::io;

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

    /// It ends with the time of the reload, as the commands around a payload do, and writes where they do.
    fn reload_by_command(&mut self, unit: &UnitName, run: u64, command: Vec<String>) {
        let program = command.first().cloned().unwrap_or_default();
        let task = match self.reload_task(unit, command) {
            Ok(task) => task,
            Err(failure) => {
                let result = Err(failure);
                return self.later(Event::Reloaded { unit: unit.clone(), run, result });
            }
        };
        let cancel = self.begin_commands(unit, run);
        let (unit, notes) = (unit.clone(), self.notes.clone());
        tokio::task::spawn_local(async move {
            let result = tokio::select! {
                result = task.perform() => outcome(&unit, &program, result),
                () = cancel.notified() => Err(failure("reload_command: killed".to_owned(), 0)),
            };
            // The receiver lives as long as the loop.
            let _ = notes.send(super::Note::Event(Event::Reloaded { unit, run, result }));
        });
    }

    fn reload_task(&mut self, unit: &UnitName, command: Vec<String>) -> Result<ExecTask, Failure> {
        let request = ExecRequest {
            unit: unit.clone(),
            command,
            environment: Vec::new(),
            user: None,
            directory: None,
            stdio: stdio(&self.paths, unit)?,
            leash: None,
        };
        self.exec_task(request)
            .map(|(task, _)| task)
            .map_err(|error| failure(format!("reload_command: {error}"), 0))
    }
}

fn outcome(unit: &UnitName, program: &str, result: Result<Exit, Failure>) -> Result<(), Failure> {
    match result {
        Ok(Exit::Code(0)) => Ok(()),
        Ok(exit) => Err(failed(unit, "reload_command", program, exit)),
        Err(failure) => {
            let message = format!("reload_command: {}", ExecError::of_launch(failure, program));
            Err(Failure { message, errno: 0, exit: None })
        }
    }
}
