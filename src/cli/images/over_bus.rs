//! Images of the manager, over the bus: for those who may not open its store.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use zbus::{Fd, Variant};

use super::access::{Images, Removal};
use super::progress::Display;
use super::transfer::Watch;
use crate::bus::wire::ImageRow;
use crate::cli::client::{ask, talk};
use crate::cli::error::CliError;
use crate::image::reference::Reference;
use crate::image::text::printable;
use crate::manager::images::list::{CopyOf, Listed};
use crate::manager::images::remove::Consent;
use crate::store::{Scrutiny, Usage};
use crate::transfer::order::{ImportOrder, PullOrder};
use crate::transfer::worker::Claims;
use crate::transfer::{Naming, Report};

/// How often a pull is asked for again because the manager was restarted during it.
const RESTARTS_MAX: usize = 5;

/// The store of the manager.
pub(super) struct OverBus;

impl Images for OverBus {
    fn list(&self, words: &[String]) -> anyhow::Result<Vec<Listed>> {
        ask(async |client| {
            let rows = match words {
                [] => client.ask(async |manager| manager.list_images().await).await,
                words => client.ask(async |manager| manager.list_images_by_patterns(words).await).await,
            };
            let rows = rows.map_err(|error| CliError::of_call("list images", error))?;
            Ok(rows.into_iter().map(listed).collect())
        })
    }

    fn remove(&self, images: &[String], consent: Consent) -> anyhow::Result<Vec<Removal>> {
        talk(async |client| {
            let mut removals = Vec::new();
            for image in images {
                let options = flags(&[("force", consent == Consent::Named)]);
                let action = format!("remove {}", printable(image.as_bytes()));
                let removed: zbus::Result<Vec<String>> = client.call("RemoveImage", &(image, options)).await;
                removals.push(removed.map_err(|error| CliError::of_call(&action, error).into()));
            }
            Ok(removals)
        })
    }

    fn tag(&self, image: &str, names: &[Reference]) -> anyhow::Result<String> {
        let action = format!("tag {}", printable(image.as_bytes()));
        ask(async |client| {
            let mut id = String::new();
            for name in names {
                let tagged = client.call("TagImage", &(image, name.to_string())).await;
                id = tagged.map_err(|error| CliError::of_call(&action, error))?;
            }
            Ok(id)
        })
    }

    fn pull(&self, order: PullOrder, display: &mut Display) -> anyhow::Result<Report> {
        let (image, action) = (order.image.to_string(), format!("pull {}", order.image));
        let mut restarts = 0;
        loop {
            let pulled = talk(async |client| {
                let mut watch = Watch::new(client, &action).await?;
                let mut options = flags(&[("verify", order.scrutiny == Scrutiny::Content)]);
                if let Some(platform) = &order.platform {
                    options.insert("platform", platform.to_string().into());
                }
                let transfer = watch.during(client.call("PullImage", &(&image, options))).await?;
                watch.wait(&transfer, display).await
            });
            match pulled {
                // What the manager began ended with it.
                Err(error)
                    if restarts < RESTARTS_MAX
                        && matches!(error.downcast_ref(), Some(CliError::Left { .. })) =>
                {
                    restarts += 1;
                }
                result => return result,
            }
        }
    }

    fn import(&self, source: OwnedFd, order: &ImportOrder, display: &mut Display) -> anyhow::Result<Report> {
        let is_folder = rustix::fs::fstat(&source)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir());
        if is_folder {
            anyhow::bail!(
                "only root imports a folder: \"tar -C FOLDER -c . | sampanctl import -\" packs it for sampand"
            );
        }
        let Claims { naming, format, platform, changes } = &order.claims;
        let name = match naming {
            Naming::Name(name) => name.to_string(),
            Naming::Claimed | Naming::Nameless => String::new(),
        };
        let is_closely = order.scrutiny == Scrutiny::Content;
        talk(async |client| {
            let mut options = flags(&[("verify", is_closely), ("keep-names", *naming == Naming::Claimed)]);
            options.extend(format.map(|format| ("format", format.word().into())));
            options.extend(platform.as_ref().map(|platform| ("platform", platform.to_string().into())));
            if !changes.is_empty() {
                options.insert("changes", changes.clone().into());
            }
            let mut watch = Watch::new(client, "import").await?;
            let asked = (Fd::from(source.as_fd()), &name, options);
            let transfer = watch.during(client.call("ImportImage", &asked)).await?;
            watch.wait(&transfer, display).await
        })
    }
}

/// Those options that are asked for.
fn flags(options: &[(&'static str, bool)]) -> HashMap<&'static str, Variant<'static>> {
    options.iter().filter(|(_, is_asked)| *is_asked).map(|(name, _)| (*name, true.into())).collect()
}

fn listed(row: ImageRow) -> Listed {
    let usage = Usage { size: row.size, shared: row.shared, own: row.own };
    let digest = Some(row.digest).filter(|digest| !digest.is_empty());
    let copies = row.copies.into_iter().map(|(unit, size)| CopyOf { unit, size }).collect();
    Listed { id: row.id, names: row.names, digest, created: row.created, usage, copies }
}
