//! The object of one pull, `/org/sampan1/transfer/ID`: interface `org.sampan1.Transfer`. It is there for as long as
//! the pull is wanted; the last of its signals is `Finished`, `Failed` or `Canceled`.

use super::wire::TransferRow;
use crate::image::digest::Digest;
use crate::manager::driver::{ManagerHandle, TransferNotice};
use crate::manager::transfer::{Change, Layer, Stage, Transfer};
use zbus::fdo;
use zbus::object_server::SignalEmitter;

/// One pull on the bus.
#[derive(Debug)]
pub struct TransferObject {
    id: u32,
    manager: ManagerHandle,
}

impl TransferObject {
    /// The object of the pull with this number.
    pub fn new(id: u32, manager: ManagerHandle) -> Self {
        Self { id, manager }
    }

    async fn with<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Transfer) -> T + Send + 'static,
    ) -> fdo::Result<T> {
        let id = self.id;
        let found = self.manager.with(move |manager| manager.transfers().get(id).map(look)).await.flatten();
        found.ok_or_else(|| fdo::Error::UnknownObject(format!("Transfer {id} is over.")))
    }
}

#[zbus::interface(name = "org.sampan1.Transfer")]
impl TransferObject {
    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> u32 {
        self.id
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn image(&self) -> fdo::Result<String> {
        self.with(|transfer| transfer.image.to_string()).await
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn state(&self) -> fdo::Result<String> {
        self.with(|transfer| stage(transfer.stage).to_owned()).await
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn server(&self) -> fdo::Result<String> {
        self.with(|transfer| transfer.server.clone()).await
    }

    /// What failed last and is tried again.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn error(&self) -> fdo::Result<String> {
        self.with(|transfer| transfer.trouble.clone()).await
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn units(&self) -> fdo::Result<Vec<String>> {
        self.with(|transfer| transfer.units().map(ToString::to_string).collect()).await
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn bytes_done(&self) -> fdo::Result<u64> {
        self.with(|transfer| transfer.bytes().done).await
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn bytes_total(&self) -> fdo::Result<u64> {
        self.with(|transfer| transfer.bytes().total).await
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn layers(&self) -> fdo::Result<Vec<(String, u64, u64)>> {
        let row = |(digest, layer): (&Digest, &Layer)| (digest.to_string(), layer.done, layer.total);
        self.with(move |transfer| transfer.layers.iter().map(row).collect()).await
    }

    /// The image is wanted.
    #[zbus(signal)]
    pub async fn began(emitter: &SignalEmitter<'_>, image: String) -> zbus::Result<()>;

    /// A server has the image, under a manifest of this digest.
    #[zbus(signal)]
    pub async fn resolved(emitter: &SignalEmitter<'_>, server: String, digest: String) -> zbus::Result<()>;

    /// Bytes of a layer have come: none at its begin, all at its end.
    #[zbus(signal)]
    pub async fn progress(
        emitter: &SignalEmitter<'_>,
        layer: String,
        bytes_done: u64,
        bytes_total: u64,
    ) -> zbus::Result<()>;

    /// Something failed and is tried again, or elsewhere.
    #[zbus(signal)]
    pub async fn retrying(emitter: &SignalEmitter<'_>, reason: String) -> zbus::Result<()>;

    /// The image is in the store, under this id.
    #[zbus(signal)]
    pub async fn finished(emitter: &SignalEmitter<'_>, image_id: String) -> zbus::Result<()>;

    /// The image is not in the store, and why.
    #[zbus(signal)]
    pub async fn failed(emitter: &SignalEmitter<'_>, reason: String) -> zbus::Result<()>;

    /// Nobody waits for the image any more.
    #[zbus(signal)]
    pub async fn canceled(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;
}

/// Tells clients what became of a pull.
///
/// # Errors
/// When the bus is gone.
pub async fn tell(emitter: &SignalEmitter<'_>, notice: TransferNotice) -> zbus::Result<()> {
    use TransferObject as Object;
    match notice {
        TransferNotice::New(image) => Object::began(emitter, image.to_string()).await,
        TransferNotice::Changed(Change::Resolved { server, digest }) => {
            Object::resolved(emitter, server, digest.to_string()).await
        }
        TransferNotice::Changed(Change::Layer(digest, layer)) => {
            Object::progress(emitter, digest.to_string(), layer.done, layer.total).await
        }
        TransferNotice::Changed(Change::Retrying(reason)) => Object::retrying(emitter, reason).await,
        TransferNotice::Finished(id) => Object::finished(emitter, id).await,
        TransferNotice::Failed(reason) => Object::failed(emitter, reason).await,
        TransferNotice::Canceled => Object::canceled(emitter).await,
    }
}

/// The word for how far a pull is.
fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Waiting => "waiting",
        Stage::Running => "running",
    }
}

/// What `ListTransfers` says of a pull.
pub fn row(transfer: &Transfer) -> TransferRow {
    let bytes = transfer.bytes();
    TransferRow {
        id: transfer.id,
        image: transfer.image.to_string(),
        state: stage(transfer.stage).to_owned(),
        bytes_done: bytes.done,
        bytes_total: bytes.total,
        units: transfer.units().map(ToString::to_string).collect(),
        path: super::wire::transfer_path(transfer.id),
    }
}
