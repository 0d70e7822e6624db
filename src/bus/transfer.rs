//! The object of one transfer, `/org/sampan1/transfer/ID`: interface `org.sampan1.Transfer`. It is there for as long as
//! the image is wanted; the last of its signals is `Finished`, `Failed` or `Canceled`.

use super::access::{Action, Details};
use super::call::Call;
use super::error::BusError;
use super::interface::{Found, Interface, Reader, Values};
use super::wire::{TransferRow, transfer_path};
use crate::manager::driver::Manager;
use crate::manager::transfer::{Layer, Stage, Transfer};
use crate::manager::view::{Change, Shape, Value};
use crate::transfer::order::Order;

/// The interface's name.
pub(super) const NAME: &str = "org.sampan1.Transfer";

const SHAPES: [Shape; 10] = [
    Shape { name: "Id", signature: "u", change: Change::Never },
    Shape { name: "Type", signature: "s", change: Change::Never },
    Shape { name: "Image", signature: "s", change: Change::Never },
    Shape { name: "State", signature: "s", change: Change::Untold },
    Shape { name: "Server", signature: "s", change: Change::Untold },
    Shape { name: "Error", signature: "s", change: Change::Untold },
    Shape { name: "Units", signature: "as", change: Change::Untold },
    Shape { name: "BytesDone", signature: "t", change: Change::Untold },
    Shape { name: "BytesTotal", signature: "t", change: Change::Untold },
    Shape { name: "Layers", signature: "a(stt)", change: Change::Untold },
];

/// Its table.
pub(super) fn interface() -> Interface<u32> {
    Interface::new(NAME)
        .act("Cancel", &[], &[], |id, call, ()| cancel(call, id))
        .properties(SHAPES.into_iter(), properties)
        .signal::<(String,)>("Began", &["image"])
        .signal::<(String, String)>("Resolved", &["server", "digest"])
        .signal::<(String, u64, u64)>("Progress", &["layer", "bytes_done", "bytes_total"])
        .signal::<(String,)>("Retrying", &["reason"])
        .signal::<(u64,)>("Writing", &["entries"])
        .signal::<(String, Vec<String>, bool, Vec<String>)>(
            "Imported",
            &["image_id", "names", "present", "notices"],
        )
        .signal::<(u64,)>("Healed", &["files"])
        .signal::<(String,)>("Finished", &["image_id"])
        .signal::<(String,)>("Failed", &["reason"])
        .signal::<()>("Canceled", &[])
}

fn properties(id: u32, manager: &mut Manager, reader: Reader) -> Result<Found, BusError> {
    let transfer = manager.transfers().get(id);
    let transfer = transfer.ok_or_else(|| BusError::UnknownObject(format!("Transfer {id} is over.")))?;
    Ok(Found::All(reader.pick(values(transfer))))
}

fn values(transfer: &Transfer) -> Values {
    let layer = |(digest, layer): (&String, &Layer)| (digest.clone(), layer.done, layer.total);
    vec![
        ("Id", Value::Unsigned(transfer.id)),
        ("Type", Value::Text(kind(&transfer.order).to_owned())),
        ("Image", Value::Text(transfer.image())),
        ("State", Value::Text(stage(transfer.stage).to_owned())),
        ("Server", Value::Text(transfer.server.clone())),
        ("Error", Value::Text(transfer.trouble.clone())),
        ("Units", Value::List(transfer.units().map(ToString::to_string).collect())),
        ("BytesDone", Value::Large(transfer.bytes().done)),
        ("BytesTotal", Value::Large(transfer.bytes().total)),
        ("Layers", Value::Parts(transfer.layers.iter().map(layer).collect())),
    ]
}

/// The word for what is done.
fn kind(order: &Order) -> &'static str {
    match order {
        Order::Pull(_) => "pull",
        Order::Import(_) => "import",
    }
}

/// The word for how far a pull is.
fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Waiting => "waiting",
        Stage::Running => "running",
    }
}

pub(super) fn list(manager: &Manager) -> (Vec<TransferRow>,) {
    (manager.transfers().all().map(row).collect(),)
}

fn row(transfer: &Transfer) -> TransferRow {
    let bytes = transfer.bytes();
    TransferRow {
        id: transfer.id,
        image: transfer.image(),
        state: stage(transfer.stage).to_owned(),
        bytes_done: bytes.done,
        bytes_total: bytes.total,
        units: transfer.units().map(ToString::to_string).collect(),
        path: transfer_path(transfer.id),
    }
}

/// Ends a pull, and with it the starts that wait for it.
pub(super) async fn cancel(call: Call, id: u32) -> Result<(), BusError> {
    let unknown = || BusError::NoSuchTransfer(format!("Transfer {id} does not exist."));
    let image = call.with(move |manager| manager.transfers().get(id).map(|one| one.image()));
    let image = image.await?.ok_or_else(unknown)?;
    call.allow(Action::ManageImages, Details::Image { verb: "cancel", image: &image }).await?;
    call.with(move |manager| manager.cancel_transfer(id)).await?.then_some(()).ok_or_else(unknown)
}
