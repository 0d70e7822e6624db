//! `is-system-running`, and the state of the manager as a whole, in systemd's words.

use super::args::SystemStateArgs;
use super::changes::Changes;
use super::client::{Client, talk};
use super::error::{CliError, FAILURE};
use super::output::{Paging, print};
use super::text::{Dot, Tone};
use super::unit_properties::{Value, Values};

/// The state of the manager, systemctl(1) `is-system-running`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemState {
    /// What is enabled is being started.
    Starting,
    /// All is well.
    Running,
    /// Units have failed.
    Degraded,
    /// Everything is being stopped.
    Stopping,
    /// There is no manager.
    Offline,
}

impl SystemState {
    /// As the manager tells it.
    pub fn of(manager: &Values) -> Self {
        match manager.get("SystemState") {
            Some(Value::Text(word)) => Self::of_word(word),
            _ => Self::Running,
        }
    }

    fn of_word(word: &str) -> Self {
        match word {
            "initializing" | "starting" => Self::Starting,
            "degraded" | "maintenance" => Self::Degraded,
            "stopping" => Self::Stopping,
            "offline" => Self::Offline,
            _ => Self::Running,
        }
    }

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Stopping => "stopping",
            Self::Offline => "offline",
        }
    }

    /// Its colour.
    pub fn tone(self) -> Tone {
        match self {
            Self::Running => Tone::Good,
            Self::Starting | Self::Stopping => Tone::Moving,
            Self::Degraded | Self::Offline => Tone::Bad,
        }
    }

    /// The shape of its dot.
    pub fn dot(self) -> Dot {
        match self {
            Self::Degraded => Dot::Cross,
            Self::Offline => Dot::Hollow,
            _ => Dot::Filled,
        }
    }
}

/// Runs the verb: success when all is well.
///
/// # Errors
/// When the manager refuses to answer.
pub fn run(args: &SystemStateArgs) -> anyhow::Result<u8> {
    let asked = talk(async |client| if args.wait { started(client).await } else { state(client).await });
    let state = match asked {
        Err(error) if error.downcast_ref().is_some_and(CliError::is_unreachable) => SystemState::Offline,
        result => result?,
    };
    if !args.quiet {
        print(&format!("{}\n", state.word()), Paging::Never)?;
    }
    Ok(if state == SystemState::Running { 0 } else { FAILURE })
}

async fn state(client: &Client) -> anyhow::Result<SystemState> {
    Ok(SystemState::of(&client.manager_values().await?))
}

/// Waits until no start at boot is under way any more, by this manager or a successor of it.
async fn started(client: &Client) -> anyhow::Result<SystemState> {
    let mut changes = Changes::new(client).await?;
    loop {
        match state(client).await? {
            SystemState::Starting => changes.next(client).await?,
            state => return Ok(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_as_the_manager_tells_it() {
        for word in ["starting", "running", "degraded", "stopping"] {
            let told = Values::from([("SystemState".to_owned(), Value::Text(word.to_owned()))]);
            assert_eq!(SystemState::of(&told).word(), word);
        }
    }
}
