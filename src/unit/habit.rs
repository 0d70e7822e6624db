//! What people write by habit who come from systemd, Quadlet, nspawn or Compose, and what it is called here.

use super::schema;
use super::suggest::list;

/// What stands here for a foreign word.
enum Here {
    /// A key: its way.
    Key(&'static str),
    /// The same, where that key could stand.
    There(&'static str),
    /// Something else, told in words.
    Words(&'static str),
}

use Here::{Key, There, Words};

/// Foreign keys, in small letters and without `_` and `-`.
const KEYS: &[(&str, Here)] = &[
    // systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5)
    ("execstart", Words("what runs is \"image\" with \"entrypoint\" and \"command\"")),
    ("cmd", Key("container.command")),
    ("test", Key("health.command")),
    ("execreload", Key("container.reload_command")),
    ("jobtimeoutsec", Key("container.start_timeout")),
    ("jobrunningtimeoutsec", Key("container.start_timeout")),
    ("reloadsignal", Key("container.reload_signal")),
    ("restartsec", Key("container.restart_delay")),
    ("restartmaxdelaysec", Key("container.restart_delay_max")),
    ("timeoutstartsec", Key("container.start_timeout")),
    ("timeoutstopsec", Key("container.stop_timeout")),
    ("timeoutsec", Words("write \"start_timeout\" and \"stop_timeout\"")),
    ("timeoutabortsec", Key("container.stop_timeout")),
    ("runtimemaxsec", Key("container.runtime_max")),
    ("runtimerandomizedextrasec", Key("container.runtime_randomized_extra")),
    ("watchdogsec", Key("container.watchdog")),
    ("startlimitburst", Key("container.start_limit.burst")),
    ("startlimitinterval", Key("container.start_limit.interval")),
    ("startlimitintervalsec", Key("container.start_limit.interval")),
    ("killsignal", Key("container.stop_signal")),
    ("killmode", Words("the stop signal goes to the main process, SIGKILL to all: leave it out")),
    ("sendsigkill", Words("write stop_timeout = \"infinity\"")),
    ("pidfile", Words("the main process is the first of the container: leave it out")),
    ("guessmainpid", Words("the main process is the first of the container: leave it out")),
    ("sockets", Words("sockets are tables of the unit that they start: [socket.NAME]")),
    ("service", Words("a socket starts the unit that it stands in: leave it out")),
    ("busname", Words("use type = \"notify\", or ready = \"listening\"")),
    ("notifyaccess", Words("with type = \"notify\" every process of the container may notify: leave it out")),
    ("dynamicuser", Words("user_namespace = \"auto\" gives every container ids of its own: leave it out")),
    ("rootdirectory", Words("write image = \"dir:/PATH\"")),
    ("rootimage", Words("import the image, and write its name in \"image\"")),
    ("privatetmp", Words(OWN_FILES)),
    ("privatemounts", Words(OWN_FILES)),
    ("protectsystem", Words(OWN_FILES)),
    ("protecthome", Words(OWN_FILES)),
    ("readwritepaths", Words("write root = \"read-only\", and a [mount.\"/PATH\"] for what is written")),
    ("privateipc", Words(ANYWAY)),
    ("removeipc", Words(ANYWAY)),
    ("protecthostname", Words(ANYWAY)),
    ("protectclock", Words(ANYWAY)),
    ("protectcontrolgroups", Words(ANYWAY)),
    ("protectkernellogs", Words(ANYWAY)),
    ("protectkernelmodules", Words(ANYWAY)),
    ("protectkerneltunables", Words(ANYWAY)),
    ("restrictnamespaces", Words(ANYWAY)),
    ("keyringmode", Words(ANYWAY)),
    ("devicepolicy", Words("there are no devices but those in \"devices\" of [security]: leave it out")),
    ("cpuaccounting", Words(COUNTED)),
    ("memoryaccounting", Words(COUNTED)),
    ("tasksaccounting", Words(COUNTED)),
    ("ioaccounting", Words(COUNTED)),
    ("blockioaccounting", Words(COUNTED)),
    ("blockioweight", Key("resources.io_weight")),
    ("selinuxcontext", Key("security.selinux_label")),
    ("privatenetwork", Words("write mode = \"private\" in [network], which is the default")),
    ("joinsnamespaceof", Key("network.mode")),
    ("oncalendar", Key("timer.on_calendar")),
    ("onactivesec", Key("timer.on_active")),
    ("onbootsec", Key("timer.on_boot")),
    ("onstartupsec", Key("timer.on_startup")),
    ("onunitactivesec", Key("timer.on_unit_active")),
    ("onunitinactivesec", Key("timer.on_unit_inactive")),
    ("randomizeddelaysec", Key("timer.randomized_delay")),
    ("accuracysec", Key("timer.accuracy")),
    ("listenstream", Key("socket.*.listen")),
    ("listendatagram", Key("socket.*.listen")),
    ("listensequentialpacket", Key("socket.*.listen")),
    ("listenfifo", Key("socket.*.listen")),
    ("bindipv6only", Key("socket.*.v6only")),
    ("keepalivetimesec", Key("socket.*.keepalive_time")),
    ("keepaliveintervalsec", Key("socket.*.keepalive_interval")),
    ("deferacceptsec", Key("socket.*.defer_accept")),
    ("triggerlimitburst", Key("activation.trigger_limit.burst")),
    ("triggerlimitinterval", Key("activation.trigger_limit.interval")),
    ("triggerlimitintervalsec", Key("activation.trigger_limit.interval")),
    (
        "removeonstop",
        Words("what a socket leaves in the file system is removed when its unit stops: leave it out"),
    ),
    ("flushpending", Words("what has come stays until the container takes it: leave it out")),
    ("socketmode", Key("socket.*.mode")),
    ("socketuser", Key("socket.*.user")),
    ("socketgroup", Key("socket.*.group")),
    ("filedescriptorname", Words("the name of the table is that of the socket: [socket.NAME]")),
    ("accept", Words("write pass = \"accept\", or leave it out")),
    ("loadcredential", Words(SECRET)),
    ("loadcredentialencrypted", Words(SECRET)),
    ("setcredential", Words(SECRET)),
    ("setcredentialencrypted", Words(SECRET)),
    ("importcredential", Words(SECRET)),
    ("exitpolicy", Words("leave it out")),
    ("inetd", Words("write pass = \"accept\" in [socket.NAME] and standard_input = \"socket\"")),
    ("standardoutput", Words(JOURNAL)),
    ("standarderror", Words(JOURNAL)),
    ("syslogidentifier", Words(JOURNAL)),
    ("limitas", Key("resources.limits.as")),
    ("limitcore", Key("resources.limits.core")),
    ("limitcpu", Key("resources.limits.cpu")),
    ("limitdata", Key("resources.limits.data")),
    ("limitfsize", Key("resources.limits.fsize")),
    ("limitlocks", Key("resources.limits.locks")),
    ("limitmemlock", Key("resources.limits.memlock")),
    ("limitmsgqueue", Key("resources.limits.msgqueue")),
    ("limitnice", Key("resources.limits.nice")),
    ("limitnofile", Key("resources.limits.nofile")),
    ("limitnproc", Key("resources.limits.nproc")),
    ("limitrss", Key("resources.limits.rss")),
    ("limitrtprio", Key("resources.limits.rtprio")),
    ("limitrttime", Key("resources.limits.rttime")),
    ("limitsigpending", Key("resources.limits.sigpending")),
    ("limitstack", Key("resources.limits.stack")),
    ("oomscoreadjust", Key("resources.oom_score_adjust")),
    ("cpuaffinity", Key("resources.cpu_affinity")),
    ("memorylimit", Key("resources.memory_max")),
    ("cpushares", Key("resources.cpu_weight")),
    ("capabilityboundingset", Key("security.capabilities")),
    ("ambientcapabilities", Key("security.capabilities")),
    (
        "privatedevices",
        Words("no container sees devices of the host: leave it out, or name them in \"devices\""),
    ),
    ("deviceallow", Key("security.devices")),
    ("readonlypaths", Key("security.read_only_paths")),
    ("inaccessiblepaths", Key("security.mask_paths")),
    ("bindpaths", Words(MOUNT)),
    ("bindreadonlypaths", Words(MOUNT)),
    ("temporaryfilesystem", Words(MOUNT)),
    ("statedirectory", Words(MOUNT)),
    ("runtimedirectory", Words(MOUNT)),
    ("cachedirectory", Words(MOUNT)),
    ("logsdirectory", Words(MOUNT)),
    ("configurationdirectory", Words(MOUNT)),
    // podman-systemd.unit(5)
    ("containername", Words("a container has the name of its file: leave it out")),
    ("podname", Words("there are no pods: units share a network by mode = \"container:NAME\"")),
    ("pod", Words("there are no pods: units share a network by mode = \"container:NAME\"")),
    ("exec", Key("container.command")),
    ("rootfs", Words("write image = \"dir:/PATH\"")),
    ("publishport", Words(PORTS)),
    ("exposehostport", Words(PORTS)),
    ("volume", Words(MOUNT)),
    ("mount", Words(MOUNT)),
    ("tmpfs", Words(MOUNT)),
    ("readonly", Words("write root = \"read-only\"")),
    ("readonlytmpfs", Words(MOUNT)),
    ("volatiletmp", Words(MOUNT)),
    ("shmsize", Words("write [mount.\"/dev/shm\"] with type = \"tmpfs\" and options = [\"size=64M\"]")),
    ("addcapability", Key("security.add_capabilities")),
    ("dropcapability", Key("security.drop_capabilities")),
    ("adddevice", Key("security.devices")),
    ("addhost", Key("network.extra_hosts")),
    ("dnsoption", Key("network.dns_options")),
    ("networkalias", Key("network.aliases")),
    ("ip", Key("network.addresses")),
    ("ip6", Key("network.addresses")),
    ("group", Words("write user = \"USER:GROUP\"")),
    ("groupadd", Key("container.supplementary_groups")),
    ("environmenthost", Key("container.pass_environment")),
    ("httpproxy", Key("container.pass_environment")),
    ("secret", Words(SECRET)),
    ("protectproc", Key("security.protect_proc")),
    ("procsubset", Key("security.proc_subset")),
    ("healthcmd", Key("health.command")),
    ("healthinterval", Key("health.interval")),
    ("healthtimeout", Key("health.timeout")),
    ("healthretries", Key("health.retries")),
    ("healthstartperiod", Key("health.start_period")),
    ("healthonfailure", Key("health.on_unhealthy")),
    ("healthstartupcmd", Key("health.startup.command")),
    ("healthstartupinterval", Key("health.startup.interval")),
    ("healthstartupretries", Key("health.startup.retries")),
    ("healthstartupsuccess", Key("health.startup.successes")),
    ("healthstartuptimeout", Key("health.startup.timeout")),
    ("startupprobe", Words("[health.startup] is a check that comes before the others")),
    ("notify", Words("write type = \"notify\"")),
    ("label", Key("container.labels")),
    ("annotation", Key("container.labels")),
    ("mask", Key("security.mask_paths")),
    ("unmask", Key("security.unmask_paths")),
    ("seccompprofile", Key("security.seccomp_profile")),
    ("apparmor", Key("security.apparmor_profile")),
    ("securitylabeltype", Key("security.selinux_label")),
    ("securitylabellevel", Key("security.selinux_label")),
    ("securitylabeldisable", Key("security.selinux_label")),
    ("userns", Key("security.user_namespace")),
    ("uidmap", Key("security.user_namespace")),
    ("gidmap", Key("security.user_namespace")),
    ("subuidmap", Key("security.user_namespace")),
    ("subgidmap", Key("security.user_namespace")),
    ("autoupdate", Key("update.policy")),
    ("ulimit", Words(LIMITS)),
    ("file", There("credentials.*.path")),
    ("pidslimit", Key("resources.tasks_max")),
    ("memory", Key("resources.memory_max")),
    ("logdriver", Words(JOURNAL)),
    ("logopt", Words(JOURNAL)),
    (
        "podmanargs",
        Words("there is no other program to give arguments to: sampan.container(5) lists the keys"),
    ),
    (
        "globalargs",
        Words("there is no other program to give arguments to: sampan.container(5) lists the keys"),
    ),
    ("retry", Words("how often a registry is asked again is said for the host, sampan-registries(5)")),
    ("retrydelay", Words("how often a registry is asked again is said for the host, sampan-registries(5)")),
    ("stoptimeout", Key("container.stop_timeout")),
    ("reloadcmd", Key("container.reload_command")),
    ("runinit", Key("container.init")),
    ("processtwo", Key("container.init")),
    ("cgroupsmode", Words("a container has a control group of its own: leave it out")),
    // systemd.nspawn(5)
    ("boot", Words("the first process is that of the image: write command = [\"/sbin/init\"]")),
    ("ephemeral", Words("write root = \"ephemeral\", which is the default")),
    ("parameters", Key("container.command")),
    ("privateusers", Key("security.user_namespace")),
    ("notifyready", Words("write type = \"notify\"")),
    ("virtualethernet", Key("network.mode")),
    ("zone", Key("network.mode")),
    ("bridge", Key("network.mode")),
    ("private", Words("write mode = \"private\", which is the default")),
    ("interface", Key("network.interfaces")),
    ("port", Words(PORTS)),
    ("resolvconf", Key("network.dns")),
    ("linkjournal", Words(JOURNAL)),
    ("bind", Words(MOUNT)),
    ("bindreadonly", Words(MOUNT)),
    ("overlay", Words(MOUNT)),
    ("inaccessible", Key("security.mask_paths")),
    ("volatile", Words("write root = \"ephemeral\" or root = \"read-only\"")),
    // The Compose specification
    ("dependson", Words("write both \"requires\" and \"after\" in [unit]")),
    ("links", Words("write both \"requires\" and \"after\" in [unit]")),
    ("envfile", Key("container.environment_file")),
    ("env", Key("container.environment")),
    ("ports", Words(PORTS)),
    ("expose", Words(PORTS)),
    ("volumes", Words(MOUNT)),
    ("workingdir", Key("container.working_directory")),
    ("cwd", Key("container.working_directory")),
    ("networkmode", Key("network.mode")),
    ("networks", Key("network.mode")),
    ("network", Key("network.mode")),
    ("macaddress", Words("an interface gets its address from its network: leave it out")),
    ("capadd", Key("security.add_capabilities")),
    ("capdrop", Key("security.drop_capabilities")),
    ("cgroupparent", Key("resources.slice")),
    ("devicecgrouprules", Key("security.devices")),
    ("domainname", Words("write the whole name as \"hostname\" of [network]")),
    ("dnsopt", Key("network.dns_options")),
    ("dnssearch", Key("network.dns_search")),
    ("gpus", Key("security.devices")),
    ("ipc", Words(OWN_NAMESPACES)),
    ("pid", Words(OWN_NAMESPACES)),
    ("uts", Words(OWN_NAMESPACES)),
    ("labelfile", Key("container.labels")),
    ("annotations", Key("container.labels")),
    ("usernsmode", Key("security.user_namespace")),
    ("volumesfrom", Words("give both units the same [mount.\"/PATH\"] with type = \"volume\"")),
    ("poststart", Key("container.exec_start_post")),
    ("prestop", Key("container.exec_stop")),
    ("platform", Words("pull it first, with \"sampanctl pull --platform\"")),
    ("storageopt", Words("write \"root_size\"")),
    ("memswappiness", Words("write \"memory_swap_max\" in [resources]")),
    ("oomkilldisable", Words("write \"oom_score_adjust\" in [resources]")),
    ("cpuperiod", Words("write cpu_quota = \"50%\" in [resources]: 100% is one CPU")),
    ("cpupercent", Words("write cpu_quota = \"50%\" in [resources]: 100% is one CPU")),
    ("cpucount", Words("write cpu_quota = \"50%\" in [resources]: 100% is one CPU")),
    ("blkioconfig", Words("write \"io_weight\" and the keys that begin with \"io_\" in [resources]")),
    ("externallinks", Words("write both \"requires\" and \"after\" in [unit]")),
    ("disable", Words("leave [health] out")),
    ("privileged", Words("name what it needs: \"add_capabilities\", \"devices\", user_namespace = \"host\"")),
    ("securityopt", Words("the keys of [security] say it")),
    ("sysctls", Key("security.sysctl")),
    ("ulimits", Words(LIMITS)),
    ("memlimit", Key("resources.memory_max")),
    ("memreservation", Key("resources.memory_low")),
    ("memswaplimit", Key("resources.memory_swap_max")),
    ("cpus", Words("write cpu_quota = \"50%\" in [resources]: 100% is one CPU")),
    ("cpuset", Key("resources.allowed_cpus")),
    ("oomscoreadj", Key("resources.oom_score_adjust")),
    ("shm", Words("write [mount.\"/dev/shm\"] with type = \"tmpfs\" and options = [\"size=64M\"]")),
    ("stopgraceperiod", Key("container.stop_timeout")),
    ("pullpolicy", Key("container.pull")),
    ("healthcheck", Words("checks are written in [health]")),
    ("secrets", Words(SECRET)),
    ("configs", Words(MOUNT)),
    ("extrahosts", Key("network.extra_hosts")),
    ("userid", Key("container.user")),
    ("tty", Words("a unit has no terminal: \"sampanctl run -it\" and \"sampanctl exec -it\" have one")),
    ("stdinopen", Words("a unit has no terminal: \"sampanctl run -it\" and \"sampanctl exec -it\" have one")),
    ("logging", Words(JOURNAL)),
    ("build", Words("import what a build has made, sampanctl(1)")),
    ("deploy", Words("limits are written in [resources]")),
    ("scale", Words("make a template: web@.container.toml")),
    ("replicas", Words("make a template: web@.container.toml")),
    ("profiles", Words("make a target for each, and name it in \"wanted_by\"")),
    ("name", Words("a unit has the name of its file: leave it out")),
    ("version", Words("files have no version: leave it out")),
    // Editors
    ("$schema", Words("write it as the comment \"#:schema PATH\" in the first line")),
    ("include", Words("shared settings are drop-ins: container.d/NAME.toml is for all containers")),
    (
        "containersconfmodule",
        Words("shared settings are drop-ins: container.d/NAME.toml is for all containers"),
    ),
    ("extends", Words("shared settings are drop-ins: container.d/NAME.toml is for all containers")),
];

/// Foreign tables.
const TABLES: &[(&str, &str)] = &[
    ("service", "what runs is written in [container]"),
    ("pod", "there are no pods: units share a network by mode = \"container:NAME\""),
    ("kube", "write a [container] for each container"),
    ("quadlet", "leave it out"),
    ("services", "each service is a file of its own, NAME.container.toml, with a [container]"),
    ("exec", "what runs is written in [container]"),
    ("files", "mounts are tables of their own: [mount.\"/PATH\"]"),
    ("volumes", "a volume is made when it is first mounted: [mount.\"/PATH\"] with type = \"volume\""),
    ("networks", "a network is named in [network] with \"mode\""),
    ("image", "the image is a key of [container]: image = \"NAME\""),
    ("volume", "a volume is made when it is first mounted: [mount.\"/PATH\"] with type = \"volume\""),
    ("secrets", SECRET),
    ("port", PORTS),
    ("ports", PORTS),
    ("idle", "\"idle_timeout\" and \"idle_action\" are keys of [activation]"),
    ("log", JOURNAL),
    ("healthcheck", "checks are written in [health]"),
    ("environment", "variables are written in [container.environment]"),
    ("limits", "limits are written in [resources]"),
    ("condition", "conditions are written in [unit.condition]"),
    ("assert", "assertions are written in [unit.assert]"),
];

const OWN_FILES: &str = "a container sees no files of the host but those that are mounted: leave it out";
const OWN_NAMESPACES: &str = "the namespaces of a container are always its own: leave it out";
const ANYWAY: &str = "every container is kept so, sampan-isolation(7): leave it out";
const COUNTED: &str = "what a container uses is always counted: leave it out";
const SECRET: &str = "secrets are tables of their own: [credentials.NAME] with \"path\" or \"encrypted\"";
const JOURNAL: &str = "what a container prints goes to the journal: leave it out";
const LIMITS: &str = "limits of processes are written in [resources.limits]: nofile = 1024";
const MOUNT: &str = "each mount is a table of its own: [mount.\"/PATH\"] with \"type\" and \"source\"";
const PORTS: &str = "each port is a table of its own: [socket.NAME] with listen = \"80\"; without a socket, \"publish\" of [network]";

/// Values that other programs know.
const VALUES: &[(&str, &str)] = &[
    ("simple", "exec"),
    ("forking", "exec"),
    ("dbus", "notify"),
    ("notify-reload", "notify"),
    ("unless-stopped", "always"),
    ("ifnotpresent", "missing"),
    ("if_not_present", "missing"),
    ("readonly", "read-only"),
    ("ro", "read-only"),
    ("bridge", "private"),
    ("keep-id", "auto"),
    ("nomap", "auto"),
    ("pick", "auto"),
    ("fds", "fd"),
    ("healthy", "health"),
    ("started", "exec"),
    ("off", "none"),
];

/// Small letters, without what words are joined by.
pub fn plain(word: &str) -> String {
    word.chars()
        .filter(|letter| !matches!(letter, '_' | '-'))
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

/// What to write for a key of another program, where `fields` are those that could stand in its place.
pub fn of_key(key: &str, fields: &[&str]) -> Option<String> {
    let key = plain(key);
    if key == "unit" && fields.contains(&"on_calendar") {
        return Some("a timer starts the unit in whose file it stands: move the table there".to_owned());
    }
    let condition =
        ["condition", "assert"].into_iter().find(|table| key.len() > table.len() && key.starts_with(table));
    let bare = condition.map(|table| &key[table.len()..]);
    if let Some(field) = fields.iter().find(|field| bare.is_some_and(|bare| plain(field) == bare)) {
        return Some(format!("here this is \"{field}\""));
    }
    if let Some((table, bare)) = condition.zip(bare) {
        return Some(of_condition(table, bare));
    }
    let (_, here) = KEYS.iter().find(|(word, _)| *word == key)?;
    Some(match here {
        Words(words) => (*words).to_owned(),
        Key(way) => match way.rsplit_once('.') {
            Some((table, last)) if schema::is_table(table, fields) => format!("here this is \"{last}\""),
            Some((table, last)) => format!("here this is \"{last}\" in [{}]", table.replace('*', "NAME")),
            None => return None,
        },
        There(way) => match way.rsplit_once('.') {
            Some((table, last)) if schema::is_table(table, fields) => format!("here this is \"{last}\""),
            _ => return None,
        },
    })
}

/// A condition or assertion, which has a table of its own.
fn of_condition(table: &str, bare: &str) -> String {
    let mut known = schema::keys().iter().filter_map(|key| match key.way.as_slice() {
        [unit, known, last] if unit == "unit" && known == table => Some(last),
        _ => None,
    });
    match known.find(|known| plain(known) == bare) {
        Some(known) => format!("here this is \"{known}\" in [unit.{table}]"),
        None => format!("[unit.{table}] has nothing of the kind: sampan.unit(5) lists what it has"),
    }
}

/// The same for a table.
pub fn of_table(table: &str) -> Option<&'static str> {
    let table = plain(table);
    TABLES.iter().find(|(word, _)| *word == table).map(|(_, words)| *words)
}

/// The same for a word of a choice.
pub fn of_value(value: &str, words: &[&str]) -> Option<String> {
    let value = value.to_ascii_lowercase();
    let (_, here) = VALUES.iter().find(|(word, here)| *word == value && words.contains(here))?;
    Some(format!("here this is {}", list(&[here])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recommended_is_there() {
        let keys: Vec<String> = schema::keys().iter().map(|key| key.way.join(".")).collect();
        for (word, here) in KEYS {
            assert_eq!(*word, plain(word));
            if let Key(way) | There(way) = here {
                assert!(keys.iter().any(|key| key == way), "{word}: {way}");
            }
        }
    }

    #[test]
    fn words_of_other_programs_are_known() {
        assert_eq!(of_key("AutoUpdate", &["policy"]).unwrap(), "here this is \"policy\"");
        assert_eq!(of_key("mem_limit", &["image"]).unwrap(), "here this is \"memory_max\" in [resources]");
        assert_eq!(of_key("colour", &["image"]), None);
        for fields in [["condition"], ["image"]] {
            let help = of_key("ConditionPathIsMountPoint", &fields).unwrap();
            assert_eq!(help, "here this is \"path_is_mount_point\" in [unit.condition]");
        }
        assert_eq!(of_key("AssertHost", &["host"]).unwrap(), "here this is \"host\"");
        assert!(of_key("ConditionNeedsUpdate", &["condition"]).unwrap().contains("sampan.unit(5)"));
        assert!(of_table("Service").unwrap().contains("[container]"));
        assert_eq!(of_value("simple", &["exec", "notify"]).unwrap(), "here this is \"exec\"");
    }
}
