//! Plans are data: what each key of a unit changes can be read in a snapshot.

#[allow(dead_code)]
#[path = "launch_rig/mod.rs"]
mod rig;

use rig::{RANGE, STORE, container, root_size, socket, unit};
use sampan::image::config::ImageConfig;
use sampan::launch::identity::Identity;
use sampan::launch::plan::{Command, HostFacts, join, plan};
use sampan::launch::step::{CredentialStores, HostTree, Label, LabelModule, Output};
use sampan::unit::model::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn facts() -> HostFacts {
    HostFacts {
        rootfs: HostTree { path: "/var/lib/sampan/images/0123/rootfs".into(), id_base: STORE },
        range: RANGE,
        directory: "/var/lib/sampan/containers/web".into(),
        store: "/var/lib/sampan".into(),
        shared: BTreeMap::new(),
        images: BTreeMap::new(),
        private: None,
        device_groups: std::collections::BTreeMap::new(),
        profile: None,
        kernel: sampan::launch::profile::Kernel(6, 1),
        modules: std::collections::BTreeSet::new(),
        environment: vec!["FROM=file".into()],
        hierarchy: "/sys/fs/cgroup".into(),
        group: Some("/sys/fs/cgroup/sampan.slice/sampan-web.scope".into()),
        invocation: "0123456789abcdef0123456789abcdef".into(),
        identity: Identity {
            machine_id: Some(uuid::uuid!("01234567-89ab-4def-8123-456789abcdef")),
            os_release: "ID=debian\n".into(),
            hosts: "127.0.0.1 localhost\n10.0.0.1 db\n".into(),
            resolver: Some("/etc/resolv.conf".into()),
            notify: None,
        },
        journal: "/run/systemd/journal/stdout".into(),
        credentials: CredentialStores::default(),
        root_size: root_size(),
        output: Output::Journal,
    }
}

fn image() -> ImageConfig {
    ImageConfig {
        entrypoint: vec!["/entry".into()],
        command: vec!["serve".into()],
        environment: ["PATH=/bin", "FROM=image", "LISTEN_PID=1", "WATCHDOG_USEC=1", "NOTIFY_SOCKET=@x", "=y"]
            .map(str::to_owned)
            .into(),
        user: "web".into(),
        working_directory: "/var/www".into(),
        ..ImageConfig::default()
    }
}

fn planned(container: &Container) -> String {
    let plan = plan(&unit(container), container, &image(), &facts()).unwrap();
    serde_json::to_string_pretty(&plan).unwrap()
}

#[test]
fn a_plain_container() {
    let container = Container { command: None, ..container() };
    insta::assert_snapshot!(planned(&container));
}

#[test]
fn a_container_with_everything() {
    let mut container = container();
    container.root = RootMode::ReadOnly;
    container.network = NetworkMode::Host;
    container.resources.memory_max = Some(256 << 20);
    container.resources.tasks_max = Some(u64::MAX);
    container.environment.insert("FROM".into(), "unit".into());
    container.security.capabilities = Some(["CAP_NET_BIND_SERVICE".to_owned()].into());
    container.sockets.insert("http".into(), Arc::new(socket(Pass::Fd)));
    container.sockets.insert("old".into(), Arc::new(socket(Pass::Swap)));
    let mount = |source| Mount::new(source).read_only();
    container.mounts.insert("/srv".into(), mount(MountSource::Bind(Bind::new("/srv/web".into()))));
    container.mounts.insert("/srv/cache".into(), mount(MountSource::Tmpfs(Tmpfs::new(None))));
    insta::assert_snapshot!(planned(&container));
}

#[test]
fn a_program_that_joins() {
    let container = container();
    let command = Command { words: vec!["ps".into()], ..Command::default() };
    let join = join(&container, &image(), &facts(), &command).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&join).unwrap());
}

#[test]
fn what_cannot_be_run_is_refused() {
    let refused = |container: &Container, image: &ImageConfig| {
        plan(&unit(container), container, image, &facts()).unwrap_err().to_string()
    };
    let empty = Container { command: None, ..container() };
    assert_eq!(
        refused(&empty, &ImageConfig::default()),
        "neither the unit nor its image has a command; set container.command"
    );
    let mut unknown = container();
    unknown.security.capabilities = Some(["CAP_EVERYTHING".to_owned()].into());
    assert_eq!(
        refused(&unknown, &image()),
        "security.capabilities: there is no CAP_EVERYTHING, see capabilities(7)"
    );
    let relative = ImageConfig { working_directory: "var".into(), ..image() };
    assert!(refused(&container(), &relative).contains("\"var\" is not absolute"));
    for path in ["/", "data", "/proc/sys", "/dev", "/sys/fs", "/run/host/x", "/a/../b", ""] {
        let image = ImageConfig { volumes: vec![path.into()], ..image() };
        let told = refused(&container(), &image);
        assert!(told.contains(&format!("the image wants a volume at {path:?}")), "{told}");
    }
}

#[test]
fn labels_are_for_modules_that_the_host_has() {
    let label = |missing| Some(SecurityLabel { name: "web".into(), missing });
    let mut container = container();
    container.security.apparmor_profile = label(IfMissing::Fail);
    container.security.selinux_label = label(IfMissing::Ignore);
    let with = |container: &Container, modules: &[LabelModule]| {
        let facts = HostFacts { modules: modules.iter().copied().collect(), ..facts() };
        plan(&unit(container), container, &image(), &facts).map(|plan| plan.execute.labels)
    };
    assert_eq!(
        with(&container, &[]).unwrap_err().to_string(),
        "security.apparmor_profile: AppArmor is not in use on this host; begin it with \"-\" to do without it"
    );
    let modules = |labels: Vec<Label>| labels.into_iter().map(|label| label.module).collect::<Vec<_>>();
    assert_eq!(modules(with(&container, &[LabelModule::Apparmor]).unwrap()), [LabelModule::Apparmor]);
    let both = [LabelModule::Apparmor, LabelModule::Selinux];
    assert_eq!(modules(with(&container, &both).unwrap()), both);
    container.security.selinux_label = label(IfMissing::Fail);
    let error = with(&container, &[LabelModule::Apparmor]).unwrap_err().to_string();
    assert!(error.contains("security.selinux_label: SELinux is not in use"), "{error}");
}
