//! `sampand`, the manager: `sampand.service` starts it as root.

use anyhow::Context;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use sampan::bus::Bus;
use sampan::launch::spawn::Launcher;
use sampan::manager::driver::{Manager, Parts};
use sampan::manager::orphan;
use sampan::manager::reconcile::{self, Predecessor};
use sampan::manager::shelf;
use sampan::paths::Paths;
use sampan::store::Store;
use sampan::systemd::fdstore;
use sampan::systemd::manager::Systemd;
use sampan::systemd::notify::ServiceManager;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            eprintln!("sampand: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<()> {
    // Before there is a second thread: this takes descriptors and the environment of the process.
    let descriptors = fdstore::take()?;
    let service = ServiceManager::take_from_environment()?;
    start_logging();
    // Secrets of units are in this memory: no core dump has them. What is executed from here is as it was.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // A client can make us read a message of many megabytes.
    sampan::sys::allocator::give_large_blocks_back().context("mallopt(3)")?;
    // Threads for what blocks do not wait for more of it: an idle daemon is one thread that sleeps.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .thread_keep_alive(Duration::from_secs(1))
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(descriptors, Rc::new(service)))
}

/// To the journal with its fields; where there is none, to standard error.
fn start_logging() {
    let filter = tracing_subscriber::filter::LevelFilter::INFO;
    match tracing_journald::layer() {
        Ok(layer) => tracing_subscriber::registry().with(filter).with(layer.with_field_prefix(None)).init(),
        Err(_) => tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().init(),
    }
}

async fn serve(mut descriptors: Vec<(String, OwnedFd)>, service: Rc<ServiceManager>) -> anyhow::Result<()> {
    let paths = Paths::default();
    shelf::make(&paths).with_context(|| paths.state().display().to_string())?;
    let systemd = Systemd::connect().await?;
    let stored = descriptors.iter().filter_map(|(name, _)| name.parse().ok());
    let limit = systemd.descriptor_store_limit().await;
    let limit = limit.inspect_err(|error| tracing::info!("{error}, not counting stored descriptors"));
    service.count_stored(limit.ok(), stored);
    let containers = orphan::find(&systemd).await?;
    let (notices, notice_receiver) = mpsc::unbounded_channel();
    let parts = Parts {
        store: Store::create(&paths)?,
        systemd: systemd.clone(),
        service: service.clone(),
        received: reconcile::received(&mut descriptors, &service).context("cannot keep bind(2) calls")?,
        launcher: Launcher::load(&paths.helper("sampan-launch"))?,
        paths,
        notices,
    };
    let (mut manager, inbox, handle) = Manager::new(parts)?;
    manager.reload();
    let predecessor = reconcile::adopt(&mut manager, descriptors, &containers);
    let private = manager.paths().private_socket();
    let mut bus = Bus::connect(handle).await.context("cannot take the bus name org.sampan1")?;
    if let Err(error) = bus.listen(&private) {
        tracing::warn!("{}: {error}, root goes by the bus", private.display());
    }
    let bus = tokio::task::spawn_local(bus.run(notice_receiver));
    service.ready()?;
    if predecessor == Predecessor::None {
        manager.boot()?;
        reconcile::mark_booted(manager.paths(), &service);
    }
    let result = manager.run(inbox).await;
    service.stopping()?;
    bus.abort();
    result
}
