//! Arguments of `run`: a unit file on the command line, in the words of other engines where they have some.

use super::inside::inherited;
use crate::cli::candidates::{image_names, property_keys, volume_names};
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCandidates;
use std::net::IpAddr;
use std::path::PathBuf;

/// `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The image
    #[arg(value_name = "IMAGE", add = ArgValueCandidates::new(image_names))]
    pub image: String,
    /// The command and its arguments, instead of the image's
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
    /// The name of the unit, instead of one that is made up
    #[arg(long, alias = "unit", value_name = "NAME")]
    pub name: Option<String>,
    /// Do not remember that it failed
    #[arg(long, alias = "collect")]
    pub rm: bool,
    /// Do not wait for it, and leave what it writes to the journal
    #[arg(long, short, conflicts_with_all = ["tty", "interactive"])]
    pub detach: bool,
    /// Make a terminal for it, even when this is none
    #[arg(long, short, overrides_with = "no_tty")]
    pub tty: bool,
    /// Make no terminal for it
    #[arg(long, short = 'T', overrides_with = "tty")]
    pub no_tty: bool,
    /// Hand standard input on, which is done anyway
    #[arg(long, short)]
    pub interactive: bool,
    /// Do not tell the name of the unit
    #[arg(long, short)]
    pub quiet: bool,
    /// What it runs as
    #[command(flatten)]
    pub process: ProcessArgs,
    /// What it sees
    #[command(flatten)]
    pub view: ViewArgs,
    /// What it may use
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Any key of unit files, such as container.stop_timeout=5s
    #[arg(
        long = "property",
        value_name = "KEY=VALUE",
        value_parser = super::inside::assignment,
        add = ArgValueCandidates::new(property_keys)
    )]
    pub properties: Vec<String>,
}

/// `[container]`.
#[derive(Debug, Clone, Default, Args)]
pub struct ProcessArgs {
    /// When the image is pulled
    #[arg(long, value_enum, value_name = "POLICY")]
    pub pull: Option<Pull>,
    /// The user, instead of the image's
    #[arg(long, short)]
    pub user: Option<String>,
    /// The directory, instead of the image's
    #[arg(long, alias = "workdir", short, value_name = "DIRECTORY")]
    pub working_directory: Option<String>,
    /// More environment; without a value, that of the caller
    #[arg(long = "env", alias = "setenv", short, value_name = "NAME[=VALUE]", value_parser = inherited)]
    pub environment: Vec<String>,
    /// A file of environment
    #[arg(long = "env-file", value_name = "FILE")]
    pub environment_files: Vec<PathBuf>,
    /// A minimal init as its first process
    #[arg(long)]
    pub init: bool,
    /// A word about it for programs that look at it
    #[arg(long = "label", value_name = "NAME[=VALUE]")]
    pub labels: Vec<String>,
    /// The program, instead of the image's entrypoint
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// When it is started again
    #[arg(long, value_name = "POLICY")]
    pub restart: Option<String>,
}

/// When the image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pull {
    /// When it is not there
    Missing,
    /// At each start
    Always,
    /// When the registry has a newer one
    Newer,
    /// Never
    Never,
}

/// `[mount.*]`, `[socket.*]`, `[network]`.
#[derive(Debug, Clone, Default, Args)]
pub struct ViewArgs {
    /// A volume, or a file or directory of the host, and where it is mounted
    #[arg(
        long = "volume",
        short = 'v',
        value_name = "SOURCE:TARGET[:OPTIONS]",
        add = ArgValueCandidates::new(volume_names)
    )]
    pub volumes: Vec<String>,
    /// An empty file system in memory
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    pub tmpfs: Vec<String>,
    /// Changes of files are refused
    #[arg(long)]
    pub read_only: bool,
    /// A port of the host at which the server is reached that binds a port in the container
    #[arg(long, short, value_name = "[ADDRESS:]PORT[:PORT][/udp]", value_parser = published)]
    pub publish: Vec<Published>,
    /// The network: private, host or none
    #[arg(long, alias = "net", value_name = "MODE")]
    pub network: Option<String>,
    /// The name of the host that it sees
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
}

/// `[resources]`.
#[derive(Debug, Clone, Default, Args)]
pub struct LimitArgs {
    /// The most memory, such as 256M
    #[arg(long, short, value_name = "BYTES")]
    pub memory: Option<String>,
    /// The most processors, such as 1.5
    #[arg(long, value_name = "COUNT", value_parser = processors)]
    pub cpus: Option<f64>,
    /// The most processes and threads
    #[arg(long, value_name = "COUNT")]
    pub pids_limit: Option<u32>,
}

/// `--publish`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Where the host listens; `None`: on all its addresses of v4.
    pub address: Option<IpAddr>,
    /// The port there.
    pub port: u16,
    /// The port that the server binds.
    pub inside: u16,
    /// The protocol of both ports.
    pub protocol: Protocol,
}

/// Protocols of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// tcp(7)
    Tcp,
    /// udp(7)
    Udp,
}

fn published(text: &str) -> Result<Published, String> {
    let wrong = || "write PORT, PORT:PORT or ADDRESS:PORT:PORT, such as 127.0.0.1:8080:80".to_owned();
    let (ports, protocol) = match text.split_once('/').unwrap_or((text, "tcp")) {
        (ports, "tcp") => (ports, Protocol::Tcp),
        (ports, "udp") => (ports, Protocol::Udp),
        (_, protocol) => {
            return Err(format!(
                "only ports of TCP and UDP are published, not of \"{protocol}\"; with --network=host the server has \
                 all ports of the host"
            ));
        }
    };
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(wrong);
    let (front, inside) = ports.rsplit_once(':').unwrap_or(("", ports));
    let inside = port(inside)?;
    let (address, outer) = match front.rsplit_once(':') {
        Some((address, outer)) => {
            let address = address.trim_start_matches('[').trim_end_matches(']');
            (Some(address.parse().map_err(|_| wrong())?), port(outer)?)
        }
        None if front.is_empty() => (None, inside),
        None => (None, port(front)?),
    };
    Ok(Published { address, port: outer, inside, protocol })
}

fn processors(text: &str) -> Result<f64, String> {
    let count = text.parse::<f64>().ok().filter(|count| (0.01..=65_536.0).contains(count));
    count.ok_or_else(|| "write a number, such as 2 or 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_published_as_other_engines_write_them() {
        let of = |text: &str| {
            published(text).map(|found| (found.address, found.port, found.inside, found.protocol))
        };
        assert_eq!(of("80"), Ok((None, 80, 80, Protocol::Tcp)));
        assert_eq!(of("8080:80/tcp"), Ok((None, 8080, 80, Protocol::Tcp)));
        assert_eq!(of("53/udp"), Ok((None, 53, 53, Protocol::Udp)));
        let address = Some([127, 0, 0, 1].into());
        assert_eq!(of("127.0.0.1:8080:80"), Ok((address, 8080, 80, Protocol::Tcp)));
        assert_eq!(of("127.0.0.1:5353:53/udp"), Ok((address, 5353, 53, Protocol::Udp)));
        assert_eq!(of("[::1]:8080:80").unwrap().1, 8080);
        for wrong in ["0", "x:80", "8080:80/sctp", "80/udp/tcp", "a.b:1:2", "/udp", ""] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
