//! `sampanctl files`: the files of an image in its own terms: its ids, its attributes, its links.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap_complete::engine::ArgValueCandidates;
use serde_json::Value;

use super::{Common, show};
use crate::cli::candidates::image_names;
use crate::cli::display::OutputFormat;
use crate::image::entry::{EntryPath, Metadata, Node, TreeEntry};
use crate::image::limits::Limits;
use crate::image::text::printable;
use crate::paths::Paths;

/// Arguments of `files`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A name or an id
    #[arg(value_name = "IMAGE", add = ArgValueCandidates::new(image_names))]
    image: String,
    /// Only this path and what is below it
    #[arg(value_name = "PATH", default_value = "/")]
    path: String,
    #[command(flatten)]
    common: Common,
}

/// Lists files.
///
/// # Errors
/// When the image or the path is not there.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    let store = super::open_store(&args.common.paths(paths))?;
    let path = EntryPath::parse(args.path.trim_start_matches('/').as_bytes(), &Limits::default())
        .map_err(|reason| anyhow::anyhow!("\"{}\": {reason}", args.path.escape_debug()))?;
    let mut entries = store.entries(&store.resolve(&args.image)?)?;
    entries.retain(|entry| entry.path.is_within(&path));
    if entries.is_empty() {
        anyhow::bail!("{} has no \"{}\"", args.image, printable(&path.absolute()));
    }
    match args.common.output {
        OutputFormat::Text => show::print(&text(&entries))?,
        OutputFormat::Json => show::print(&json(&entries))?,
        OutputFormat::JsonPretty => show::print_indented(&json(&entries))?,
    }
    Ok(0)
}

fn kind(node: &Node) -> char {
    match node {
        Node::Directory => 'd',
        Node::File { .. } => 'f',
        Node::Symlink { .. } => 'l',
        Node::Fifo => 'p',
    }
}

fn size(node: &Node) -> u64 {
    match node {
        Node::File { size, .. } => *size,
        Node::Symlink { target } => target.0.len() as u64,
        Node::Directory | Node::Fifo => 0,
    }
}

/// One object a line.
fn json(entries: &[TreeEntry]) -> String {
    let lines: Vec<String> = entries.iter().map(json_entry).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

fn json_entry(entry: &TreeEntry) -> String {
    let Metadata { mode, uid, gid, mtime, xattrs } = &entry.metadata;
    let (sha256, link) = match &entry.node {
        Node::File { sha256, .. } => (format!("\"{sha256}\""), None),
        Node::Symlink { target } => ("null".to_owned(), Some(target.0.as_slice())),
        _ => ("null".to_owned(), None),
    };
    let or_null = |bytes: Option<&[u8]>| bytes.map_or(Value::Null, show::json_bytes);
    let hard_link = entry.hard_link.as_ref().map(EntryPath::absolute);
    let attributes: Vec<String> = xattrs
        .iter()
        .map(|(name, value)| {
            format!("{}:\"{}\"", show::json_bytes(name.as_bytes()), STANDARD.encode(&value.0))
        })
        .collect();
    format!(
        "{{\"path\":{},\"type\":\"{}\",\"mode\":\"{mode:04o}\",\"uid\":{uid},\"gid\":{gid},\"size\":{},\
         \"sha256\":{sha256},\"link\":{},\"mtime\":{},\"xattrs\":{{{}}},\"hl\":{}}}",
        show::json_bytes(&entry.path.absolute()),
        kind(&entry.node),
        size(&entry.node),
        or_null(link),
        mtime,
        attributes.join(","),
        or_null(hard_link.as_deref()),
    )
}

fn text(entries: &[TreeEntry]) -> String {
    let row = |entry: &TreeEntry| {
        let Metadata { mode, uid, gid, .. } = entry.metadata;
        let path = printable(&entry.path.absolute());
        let path = match &entry.node {
            Node::Symlink { target } => format!("{path} -> {}", printable(&target.0)),
            _ => path,
        };
        let size = size(&entry.node).to_string();
        vec![
            kind(&entry.node).to_string(),
            format!("{mode:04o}"),
            uid.to_string(),
            gid.to_string(),
            size,
            path,
        ]
    };
    show::table(&entries.iter().map(row).collect::<Vec<_>>())
}
