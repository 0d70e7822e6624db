//! A subscription to the daemon's signals, for as long as its value lives: they are sent to subscribers only.

use std::path::Path;
use std::sync::mpsc::channel;
use tokio::sync::oneshot;

/// Keeps a connection that has subscribed; it ends with this value.
pub struct Subscription {
    _end: oneshot::Sender<()>,
}

impl Subscription {
    /// Subscribes over the bus with this socket. While no daemon is there the bus starts one.
    pub fn new(socket: &Path) -> Self {
        let address = format!("unix:path={}", socket.display());
        let (end, ended) = oneshot::channel();
        let (ready, is_ready) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let connection = zbus::conn::Builder::address(address.as_str()).build().await;
                let connection = connection.expect("the host has a bus");
                subscribe(&connection).await;
                let _ = ready.send(());
                // A daemon that is started anew knows nobody.
                let mut owners = zbus::fdo::DBusProxy::new(&connection)
                    .await
                    .expect("a bus")
                    .receive_name_owner_changed_with_args(&[(0, "org.sampan1")])
                    .await
                    .expect("the bus tells owners");
                let again = async {
                    while let Some(change) = futures_util::StreamExt::next(&mut owners).await {
                        if change.args().is_ok_and(|change| change.new_owner().is_some()) {
                            subscribe(&connection).await;
                            tell(&connection).await;
                        }
                    }
                };
                tokio::select! {
                    () = again => {}
                    _ = ended => {}
                }
            });
        });
        // A thread that has panicked has said why.
        let _ = is_ready.recv();
        Self { _end: end }
    }
}

/// What changed before this was not told.
async fn tell(connection: &zbus::Connection) {
    let nobody = None::<zbus::names::BusName<'_>>;
    let told = connection.emit_signal(nobody, "/", "org.sampan1.Test", "Subscribed", &());
    told.await.expect("the bus takes signals");
}

async fn subscribe(connection: &zbus::Connection) {
    let manager = (Some("org.sampan1"), "/org/sampan1", Some("org.sampan1.Manager"));
    // A daemon that leaves again is subscribed to when the next one comes.
    let _ = connection.call_method(manager.0, manager.1, manager.2, "Subscribe", &()).await;
}
