//! Methods that bring images into the store and take them out of it.

use super::access::{Action, Details};
use super::call::Call;
use super::error::BusError;
use super::options::{Options, Written};
use super::wire::transfer_path;
use crate::image::manifest::Platform;
use crate::manager::transfer::TooMany;
use crate::store::Scrutiny;
use crate::transfer::errand::PullOrder;
use zbus::OwnedObjectPath;

/// The longest name of an image that is looked at, in bytes.
const NAME_MAX: usize = 1024;

/// What a user says about a pull.
struct Wishes {
    platform: Option<Platform>,
    scrutiny: Scrutiny,
    only_if_missing: bool,
}

impl Wishes {
    fn parse(written: Written) -> Result<Self, BusError> {
        let mut options = Options::new(written);
        let wishes = Self {
            platform: options.parsed("platform", Platform::parse)?,
            scrutiny: if options.flag("verify")? { Scrutiny::Content } else { Scrutiny::Status },
            only_if_missing: options.flag("only-if-missing")?,
        };
        options.end()?;
        match wishes {
            Self { only_if_missing: true, platform: Some(_), .. } => Err(BusError::InvalidArgs(
                "Option \"only-if-missing\" goes by the name alone: it cannot stand beside \"platform\"."
                    .into(),
            )),
            wishes => Ok(wishes),
        }
    }
}

/// Pulls an image, with those who pull the same already. polkit is asked about its full name, so that no short one goes
/// around a rule.
pub(super) async fn pull(
    call: Call,
    (name, options): (String, Written),
) -> Result<(OwnedObjectPath,), BusError> {
    check_name(&name)?;
    let Wishes { platform, scrutiny, only_if_missing } = Wishes::parse(options)?;
    let image = call.with(move |manager| manager.pull_source(&name)).await?.map_err(BusError::InvalidArgs)?;
    let shown = image.to_string();
    call.allow(Action::ManageImages, Details::Image { verb: "pull", image: &shown }).await?;
    let user = call.shared.access.user(call.sender()).await?;
    let order = PullOrder { image, platform, scrutiny };
    let id = call.with(move |manager| {
        let present = only_if_missing.then(|| manager.request_nothing(&order.image)).flatten();
        present.map_or_else(|| manager.request_pull(order, user), Ok)
    });
    Ok((transfer_path(id.await??),))
}

fn check_name(name: &str) -> Result<(), BusError> {
    if name.len() > NAME_MAX {
        return Err(BusError::InvalidArgs(format!("A name is at most {NAME_MAX} bytes long.")));
    }
    Ok(())
}

impl From<TooMany> for BusError {
    fn from(error: TooMany) -> Self {
        Self::LimitsExceeded(error.to_string())
    }
}
