//! Methods that bring images into the store and take them out of it.

use super::access::{Action, Details};
use super::call::Call;
use super::catalogue::unexpected;
use super::error::BusError;
use super::options::{Options, Written};
use super::wire::{ImageRow, transfer_path};
use super::words::Words;
use crate::image::change::Change;
use crate::image::manifest::Platform;
use crate::image::reference::Reference;
use crate::manager::images::list::Listed;
use crate::manager::images::remove::Consent;
use crate::manager::images::{Answer, Question};
use crate::manager::transfer::TooMany;
use crate::store::Scrutiny;
use crate::transfer::order::{ImportOrder, PullOrder};
use crate::transfer::worker::Claims;
use crate::transfer::{Format, Naming};
use rustix::fs::{FileType, OFlags};
use std::os::fd::{AsFd, OwnedFd};
use zbus::OwnedObjectPath;

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
            scrutiny: Scrutiny::of_verify(options.flag("verify")?),
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
    let user = call.user();
    let order = PullOrder { image, platform, scrutiny };
    let id = call.with(move |manager| {
        let present = only_if_missing.then(|| manager.request_nothing(&order.image)).flatten();
        present.map_or_else(|| manager.request_pull(order, user), Ok)
    });
    Ok((transfer_path(id.await??),))
}

/// Imports what a descriptor gives, which the caller has opened: what the caller may not read is not read for it.
pub(super) async fn import(
    call: Call,
    (file, name, options): (zbus::OwnedFd, String, Written),
) -> Result<(OwnedObjectPath,), BusError> {
    check_name(&name)?;
    let source = OwnedFd::from(file);
    check_source(&source)?;
    let order = import_order(&name, options)?;
    let shown = match &order.claims.naming {
        Naming::Name(name) => name.to_string(),
        Naming::Claimed | Naming::Nameless => String::new(),
    };
    call.allow(Action::ManageImages, Details::Image { verb: "import", image: &shown }).await?;
    let user = call.user();
    let id = call.with(move |manager| manager.request_import(order, source, user));
    Ok((transfer_path(id.await??),))
}

/// A folder is read by its descriptor, with rights that its owner may not have, and what stands for a path is opened
/// with them: both are refused. Others than files and pipes are no archives.
fn check_source(source: &OwnedFd) -> Result<(), BusError> {
    let failed = |error: rustix::io::Errno| BusError::InvalidArgs(format!("The descriptor: {error}."));
    let flags = rustix::fs::fcntl_getfl(source.as_fd()).map_err(failed)?;
    let stat = rustix::fs::fstat(source).map_err(failed)?;
    let is_open = !flags.contains(OFlags::PATH) && flags & OFlags::RWMODE != OFlags::WRONLY;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::Fifo if is_open => Ok(()),
        _ => Err(BusError::InvalidArgs(
            "The descriptor is none of a file or a pipe that is open for reading.".into(),
        )),
    }
}

fn import_order(name: &str, written: Written) -> Result<ImportOrder, BusError> {
    let invalid = |text: String| BusError::InvalidArgs(text);
    let mut options = Options::new(written);
    let naming = match (name, options.flag("keep-names")?) {
        ("", true) => Naming::Claimed,
        ("", false) => Naming::Nameless,
        (_, true) => return Err(invalid("Option \"keep-names\" cannot stand beside a name.".into())),
        (name, false) => {
            Naming::Name(Reference::for_import(name).map_err(|error| invalid(error.to_string()))?)
        }
    };
    let format = options.parsed("format", str::parse::<Format>)?;
    let platform = options.parsed("platform", Platform::parse)?;
    let changes = options.texts("changes")?;
    let scrutiny = Scrutiny::of_verify(options.flag("verify")?);
    options.end()?;
    changes
        .iter()
        .try_for_each(|change| Change::parse(change).map(drop))
        .map_err(|error| invalid(format!("Option \"changes\": {error}")))?;
    Ok(ImportOrder { claims: Claims { naming, format, platform, changes }, scrutiny })
}

/// All images of the store, the latest first.
pub(super) async fn list(call: Call) -> Result<(Vec<ImageRow>,), BusError> {
    let all = call.shared.catalogue.all(&call).await?;
    Ok((all.iter().cloned().map(row).collect(),))
}

/// Those that names, patterns and ids mean.
pub(super) async fn list_by_patterns(call: Call, words: Vec<String>) -> Result<(Vec<ImageRow>,), BusError> {
    Words::Images.check(&words)?;
    let images = call.shared.catalogue.meant_by(&call, words).await?;
    Ok((images.into_iter().map(row).collect(),))
}

fn row(image: Listed) -> ImageRow {
    ImageRow {
        id: image.id,
        names: image.names,
        digest: image.digest.unwrap_or_default(),
        created: image.created,
        size: image.usage.size,
        shared: image.usage.shared,
        own: image.usage.own,
        copies: image.copies.into_iter().map(|copy| (copy.unit, copy.size)).collect(),
    }
}

/// Removes a name, or all of an image. polkit is asked about each name that goes, under whatever name the caller has
/// the image.
pub(super) async fn remove(
    call: Call,
    (image, options): (String, Written),
) -> Result<(Vec<String>,), BusError> {
    check_name(&image)?;
    let mut options = Options::new(options);
    let consent = if options.flag("force")? { Consent::Named } else { Consent::Unnamed };
    options.end()?;
    let meant = call.with(move |manager| manager.meant(&image)).await?;
    for name in &meant.names {
        call.allow(Action::ManageImages, Details::Image { verb: "remove", image: name }).await?;
    }
    match call.shared.catalogue.change(&call, Question::Remove { image: meant.image, consent }).await? {
        Answer::Removed(removed) => Ok((removed,)),
        answer => Err(unexpected(&answer)),
    }
}

/// Gives an image another name, about which polkit is asked; the image's id.
pub(super) async fn tag(call: Call, (image, name): (String, String)) -> Result<(String,), BusError> {
    check_name(&image)?;
    check_name(&name)?;
    let name = Reference::for_import(&name).map_err(|error| BusError::InvalidArgs(error.to_string()))?;
    let meant = call.with(move |manager| manager.meant(&image)).await?;
    let shown = name.to_string();
    call.allow(Action::ManageImages, Details::Image { verb: "tag", image: &shown }).await?;
    match call.shared.catalogue.change(&call, Question::Tag { image: meant.image, name }).await? {
        Answer::Tagged(id) => Ok((id,)),
        answer => Err(unexpected(&answer)),
    }
}

fn check_name(name: &str) -> Result<(), BusError> {
    let longest = Words::Images.longest();
    if name.len() > longest {
        return Err(BusError::InvalidArgs(format!("A name is at most {longest} bytes long.")));
    }
    Ok(())
}

impl From<TooMany> for BusError {
    fn from(error: TooMany) -> Self {
        Self::LimitsExceeded(error.to_string())
    }
}
