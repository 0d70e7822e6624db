//! The unit file that a `run` amounts to. Nothing is checked here: the manager checks it as it does all files.

use crate::cli::args::{LimitArgs, ProcessArgs, Protocol, Published, RunArgs, ViewArgs};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use toml::{Table, Value};

/// The text of the file; more environment goes below what the options say.
///
/// # Errors
/// When a property is no key of a table.
pub fn text(args: &RunArgs, environment: &[String], directory: &Path) -> anyhow::Result<String> {
    let mut file = File { table: Table::new(), directory };
    file.unit(args);
    file.process(&args.process, environment);
    file.view(&args.view)?;
    file.limits(&args.limits);
    for property in &args.properties {
        file.property(property)?;
    }
    Ok(toml::to_string_pretty(&file.table)?)
}

struct File<'a> {
    table: Table,
    /// What relative paths begin at.
    directory: &'a Path,
}

impl File<'_> {
    fn unit(&mut self, args: &RunArgs) {
        let words: Vec<&str> = [&args.image].into_iter().chain(&args.command).map(String::as_str).collect();
        self.set(&["unit", "description"], literal(&words.join(" ").replace(['\n', '\r'], " ")));
        if args.rm {
            self.set(&["unit", "collect_mode"], literal("inactive-or-failed"));
        }
        self.set(&["container", "image"], literal(&args.image));
        if !args.command.is_empty() {
            self.set(&["container", "command"], literals(&args.command));
        }
    }

    fn process(&mut self, args: &ProcessArgs, environment: &[String]) {
        let pull =
            args.pull.and_then(|pull| Some(clap::ValueEnum::to_possible_value(&pull)?.get_name().to_owned()));
        let restart =
            args.restart.as_deref().map(|policy| if policy == "unless-stopped" { "always" } else { policy });
        let texts = [
            ("pull", pull.as_deref()),
            ("user", args.user.as_deref()),
            ("working_directory", args.working_directory.as_deref()),
            ("restart", restart),
        ];
        for (key, text) in texts.into_iter().filter_map(|(key, text)| Some((key, text?))) {
            self.set(&["container", key], literal(text));
        }
        if let Some(program) = &args.entrypoint {
            let words: Vec<String> =
                Some(program.clone()).into_iter().filter(|word| !word.is_empty()).collect();
            self.set(&["container", "entrypoint"], literals(&words));
        }
        for line in environment.iter().chain(&args.environment) {
            if let Some((name, value)) = line.split_once('=') {
                self.set(&["container", "environment", &escaped(name)], literal(value));
            }
        }
        if args.init {
            self.set(&["container", "init"], Value::Boolean(true));
        }
        for label in &args.labels {
            let (name, value) = label.split_once('=').unwrap_or((label, ""));
            self.set(&["container", "labels", &escaped(name)], literal(value));
        }
        if !args.environment_files.is_empty() {
            let files: Vec<String> = args
                .environment_files
                .iter()
                .map(|path| self.directory.join(path).display().to_string())
                .collect();
            self.set(&["container", "environment_file"], literals(&files));
        }
    }

    fn view(&mut self, args: &ViewArgs) -> anyhow::Result<()> {
        for volume in &args.volumes {
            self.volume(volume)?;
        }
        for tmpfs in &args.tmpfs {
            let (target, options) = tmpfs.split_once(':').unwrap_or((tmpfs, ""));
            self.mount(target, "tmpfs", None, options)?;
        }
        if args.read_only {
            self.set(&["container", "root"], literal("read-only"));
        }
        for (index, published) in args.publish.iter().enumerate() {
            self.socket(published, &args.publish[..index])?;
        }
        for (key, text) in [("mode", &args.network), ("hostname", &args.hostname)] {
            if let Some(text) = text {
                self.set(&["network", key], literal(text));
            }
        }
        Ok(())
    }

    /// A path is one of the host, relative ones from here on; any other word is a volume.
    fn volume(&mut self, written: &str) -> anyhow::Result<()> {
        let mut parts = written.splitn(3, ':');
        let (source, target, options) =
            (parts.next().unwrap_or_default(), parts.next(), parts.next().unwrap_or_default());
        let Some(target) = target.filter(|target| !target.is_empty() && !source.is_empty()) else {
            anyhow::bail!(
                "Failed to parse --volume={written}: write SOURCE:TARGET, such as data:/var/lib/data."
            );
        };
        match source.starts_with(['/', '.']) {
            true => {
                let path = lexical(&self.directory.join(source));
                self.mount(target, "bind", Some(&path), options)
            }
            false => self.mount(target, "volume", Some(source), options),
        }
    }

    fn mount(&mut self, target: &str, kind: &str, source: Option<&str>, options: &str) -> anyhow::Result<()> {
        let target = &escaped(&lexical(Path::new(target)));
        let mounts = self.table.get("mount").and_then(Value::as_table);
        if mounts.is_some_and(|mounts| mounts.contains_key(target)) {
            anyhow::bail!("Failed to parse --volume and --tmpfs: two are mounted at {target}.");
        }
        self.set(&["mount", target, "type"], literal(kind));
        if let Some(source) = source {
            self.set(&["mount", target, "source"], literal(source));
        }
        let options: Vec<String> =
            options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect();
        if !options.is_empty() {
            self.set(&["mount", target, "options"], literals(&options));
        }
        Ok(())
    }

    /// The server's own bind(2) of the inner port gets the socket that listens outside: one of each family.
    fn socket(&mut self, published: &Published, earlier: &[Published]) -> anyhow::Result<()> {
        let Published { port, inside, protocol, .. } = published;
        let address = address(published);
        let earlier = earlier.iter().filter(|other| other.protocol == *protocol);
        let same = |other: &&Published| {
            other.inside == *inside && self::address(other).is_ipv4() == address.is_ipv4()
        };
        if let Some(other) = earlier.clone().find(same) {
            anyhow::bail!(
                "Failed to parse --publish: port {inside} of the container is published at {} and at {}, and the \
                 server that binds it gets one socket. Publish it once: \"-p {inside}\" is for all addresses.",
                SocketAddr::new(self::address(other), other.port),
                SocketAddr::new(address, *port)
            );
        }
        // The same port may be another one inside at another address.
        let (kind, prefix) = match protocol {
            Protocol::Tcp => ("", "port"),
            Protocol::Udp => ("udp:", "udp-port"),
        };
        let name = match earlier.filter(|other| other.port == *port).count() {
            0 => format!("{prefix}-{port}"),
            count => format!("{prefix}-{port}-{}", count + 1),
        };
        let target = if address.is_ipv4() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        };
        let written = |address, port| literal(&format!("{kind}{}", SocketAddr::new(address, port)));
        self.set(&["socket", &name, "listen"], written(address, *port));
        if inside != port {
            self.set(&["socket", &name, "target"], written(target, *inside));
        }
        Ok(())
    }

    fn limits(&mut self, args: &LimitArgs) {
        if let Some(memory) = &args.memory {
            self.set(&["resources", "memory_max"], literal(&size(memory)));
        }
        if let Some(cpus) = args.cpus {
            self.set(&["resources", "cpu_quota"], literal(&format!("{:.0}%", cpus * 100.0)));
        }
        if let Some(limit) = args.pids_limit {
            self.set(&["resources", "tasks_max"], Value::Integer(i64::from(limit)));
        }
    }

    /// A value is TOML, or else a word. As in a file, `%` begins a specifier.
    fn property(&mut self, written: &str) -> anyhow::Result<()> {
        let (key, value) = written.split_once('=').unwrap_or((written, ""));
        let table = toml::from_str::<Table>(written).or_else(|_| {
            let quoted = Value::String(value.trim().to_owned());
            toml::from_str::<Table>(&format!("{key}={quoted}"))
        });
        match table {
            Ok(table) if table.values().all(Value::is_table) => {
                merge(&mut self.table, table);
                Ok(())
            }
            _ => anyhow::bail!(
                "Failed to parse --property={written}: write TABLE.KEY=VALUE, such as container.stop_timeout=5s."
            ),
        }
    }

    fn set(&mut self, way: &[&str], value: Value) {
        let nested = way.iter().rev().fold(value, |value, key| {
            let mut table = Table::new();
            table.insert((*key).to_owned(), value);
            Value::Table(table)
        });
        if let Value::Table(table) = nested {
            merge(&mut self.table, table);
        }
    }
}

/// Tables are merged key by key; everything else replaces.
fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(known)), Value::Table(more)) => merge(known, more),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

/// Where the host listens: most servers bind addresses of v4, and cannot use a socket of v6.
fn address(published: &Published) -> IpAddr {
    published.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Other engines take small letters, and bytes as "b".
fn size(written: &str) -> String {
    let digits = written.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    match written[digits.len()..].to_ascii_lowercase().as_str() {
        "b" => digits.to_owned(),
        unit @ ("k" | "m" | "g" | "t" | "kb" | "mb" | "gb" | "tb") => {
            format!("{digits}{}", unit[..1].to_ascii_uppercase())
        }
        _ => written.to_owned(),
    }
}

/// A text that means itself: `%` begins no specifier.
fn escaped(text: &str) -> String {
    text.replace('%', "%%")
}

fn literal(text: &str) -> Value {
    Value::String(escaped(text))
}

fn literals(words: &[String]) -> Value {
    Value::Array(words.iter().map(|word| literal(word)).collect())
}

/// Without `.` and `..`, which unit files do not take. The shell has made most of them already.
fn lexical(path: &Path) -> String {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    clean.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, RestVerb, Verb};
    use crate::cli::of::Of;
    use clap::Parser;

    fn of(line: &str) -> anyhow::Result<String> {
        let cli = Cli::try_parse_from(["sampanctl", "run"].into_iter().chain(line.split(' ')))?;
        let Verb::Rest(Of(RestVerb::Run(args))) = cli.verb else { anyhow::bail!("not run") };
        text(&args, &["TERM=xterm".to_owned()], Path::new("/home/me"))
    }

    #[test]
    fn options_become_a_unit_file() {
        let line = "--rm -it --pull=never -u 33:33 -w /www -e A=50% --label team=sea --label alone -v data:/data -v ./src:/src:ro -p 8080:80 \
                    -p 127.0.0.1:81:81 -p 80/udp -p 8080:81/udp -m 256m --cpus 0.5 --network host --property container.stop_timeout=5s \
                    --property resources.tasks_max=9 hello sh -c exit";
        insta::assert_snapshot!(of(line).unwrap(), @r#"
        [container]
        command = [
            "sh",
            "-c",
            "exit",
        ]
        image = "hello"
        pull = "never"
        stop_timeout = "5s"
        user = "33:33"
        working_directory = "/www"

        [container.environment]
        A = "50%%"
        TERM = "xterm"

        [container.labels]
        alone = ""
        team = "sea"

        [mount."/data"]
        source = "data"
        type = "volume"

        [mount."/src"]
        options = ["ro"]
        source = "/home/me/src"
        type = "bind"

        [network]
        mode = "host"

        [resources]
        cpu_quota = "50%%"
        memory_max = "256M"
        tasks_max = 9

        [socket.port-8080]
        listen = "0.0.0.0:8080"
        target = "0.0.0.0:80"

        [socket.port-81]
        listen = "127.0.0.1:81"

        [socket.udp-port-80]
        listen = "udp:0.0.0.0:80"

        [socket.udp-port-8080]
        listen = "udp:0.0.0.0:8080"
        target = "udp:0.0.0.0:81"

        [unit]
        collect_mode = "inactive-or-failed"
        description = "hello sh -c exit"
        "#);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let told = |line: &str| of(line).unwrap_err().to_string();
        assert!(told("-v data hello").contains("write SOURCE:TARGET"));
        assert!(told("--property stop_timeout=5s hello").contains("write TABLE.KEY=VALUE"));
        assert!(
            told("-p 53:53/sctp hello").contains("only ports of TCP and UDP are published, not of \"sctp\"")
        );
        assert!(told("-v a:/data -v b:/data/ hello").contains("two are mounted at /data."));
        assert!(told("--tmpfs /data -v b:/data hello").contains("two are mounted at /data."));
    }

    #[test]
    fn one_port_is_published_in_each_family_once() {
        let file: Table = of("-p 127.0.0.1:80:80 -p [::1]:80:80 hello").unwrap().parse().unwrap();
        let listen = |name: &str| file["socket"][name]["listen"].as_str().unwrap().to_owned();
        assert_eq!([listen("port-80"), listen("port-80-2")], ["127.0.0.1:80", "[::1]:80"]);
        for twice in ["-p 127.0.0.1:80:80 -p 192.0.2.1:80:80 hello", "-p 8080:80/udp -p 8081:80/udp hello"] {
            let told = of(twice).unwrap_err().to_string();
            assert!(told.contains("port 80 of the container is published at"), "{told}");
        }
    }
}
