//! The settings of the host, `sampan.toml(5)`, and its policy, `sampan-policy.toml(5)`: read strictly, with the
//! place of everything that is wrong.
#![forbid(unsafe_code)]

mod policy;

pub use policy::load as load_policy;

use serde::Deserialize;
use std::path::Path;

use crate::image::limits::Limits;
use crate::paths::Paths;
use crate::unit::decode;
use crate::unit::diagnostic::{Diagnostic, Style};
use crate::unit::model::Resources;
use crate::unit::report::Report;
use crate::unit::source::Source;
use crate::unit::tree::Node;
use crate::unit::value::{Bytes, Percentage, TaskLimit, Text, Weight};

/// What the administrator has set, and defaults for the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// What a container has whose unit does not say otherwise.
    pub resources: Resources,
    /// What an image may cost.
    pub import: Limits,
}

/// Everything that is wrong with the settings; nothing is done with half of them.
#[derive(Debug, thiserror::Error)]
#[error("the settings are not valid\n{}", shown(.0))]
pub struct SettingsError(Vec<Diagnostic>);

fn shown(faults: &[Diagnostic]) -> String {
    faults.iter().map(|fault| fault.render(Style::Plain)).collect::<Vec<_>>().join("\n\n")
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    resources: DefaultsTable,
    import: ImportTable,
}

/// Those of `[resources]` of a container that are good for any.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DefaultsTable {
    memory_max: Option<Text<Bytes>>,
    memory_high: Option<Text<Bytes>>,
    memory_swap_max: Option<Text<Bytes>>,
    page_cache_high: Option<Text<Bytes>>,
    tasks_max: Option<Text<TaskLimit>>,
    cpu_quota: Option<Text<Percentage>>,
    cpu_weight: Option<Text<Weight>>,
    io_weight: Option<Text<Weight>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ImportTable {
    entries: Option<u64>,
    layers: Option<u64>,
    names: Option<Text<Bytes>>,
    layer_size: Option<Text<Bytes>>,
    holes: Option<Text<Bytes>>,
    extension: Option<Text<Bytes>>,
    path: Option<u64>,
    name: Option<u64>,
    depth: Option<u64>,
    attribute: Option<Text<Bytes>>,
    ratio: Option<u64>,
    ratio_free: Option<Text<Bytes>>,
    window: Option<Text<Bytes>>,
}

impl Settings {
    /// Reads the settings; a file that is not there sets nothing.
    ///
    /// # Errors
    /// When the file cannot be read or says something that is not valid.
    pub fn load(paths: &Paths) -> Result<Self, SettingsError> {
        let Some(tree) = read(&paths.settings())? else { return Ok(Self::default()) };
        let (mut faults, mut readable) = (Vec::new(), tree.clone());
        let file: File = decode::read(&mut readable, &mut faults);
        let mut reader = Reader(Report::new(&tree, &readable));
        let settings =
            Self { resources: reader.resources(file.resources), import: reader.limits(file.import) };
        faults.extend(reader.0.finish());
        if faults.is_empty() { Ok(settings) } else { Err(SettingsError(faults)) }
    }
}

/// A file as a tree; `None` when there is no such file.
fn read(path: &Path) -> Result<Option<Node>, SettingsError> {
    if path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let source = Source::read(path).map_err(|error| SettingsError(vec![error.into()]))?;
    Node::parse(&source).map(Some).map_err(SettingsError)
}

/// Checks values that the types let pass.
struct Reader<'t>(Report<'t>);

impl Reader<'_> {
    fn resources(&mut self, table: DefaultsTable) -> Resources {
        let memory = |written: Option<Text<Bytes>>| written.map(|Text(Bytes(bytes))| bytes);
        let weight = |written: Option<Text<Weight>>| written.map(|Text(Weight(weight))| weight);
        let resources = Resources {
            memory_max: memory(table.memory_max),
            memory_high: memory(table.memory_high),
            memory_swap_max: memory(table.memory_swap_max),
            page_cache_high: memory(table.page_cache_high),
            tasks_max: table.tasks_max.map(|Text(TaskLimit(tasks))| tasks),
            cpu_quota_per_sec_usec: table.cpu_quota.map(|Text(Percentage(time))| time),
            cpu_weight: weight(table.cpu_weight),
            io_weight: weight(table.io_weight),
            ..Resources::default()
        };
        let least = [
            ("memory_max", resources.memory_max),
            ("memory_high", resources.memory_high),
            ("page_cache_high", resources.page_cache_high),
        ];
        for (key, _) in least.into_iter().filter(|(_, bytes)| *bytes == Some(0)) {
            self.0.error(&["resources", key], format!("\"{key}\" cannot be 0"), "nothing could run");
        }
        resources
    }

    fn limits(&mut self, table: ImportTable) -> Limits {
        let defaults = Limits::default();
        let size = |size: Option<Text<Bytes>>| size.map(|Text(Bytes(bytes))| bytes);
        let (path, name) = (Limits::KERNEL_PATH as u64, Limits::KERNEL_NAME as u64);
        let attribute = Limits::KERNEL_ATTRIBUTE as u64;
        Limits {
            entries: self.within("entries", table.entries, u64::MAX, defaults.entries),
            layers: self.count("layers", table.layers, u64::MAX, defaults.layers),
            names: self.within("names", size(table.names), u32::MAX.into(), defaults.names),
            layer_bytes: self.within("layer_size", size(table.layer_size), u64::MAX, defaults.layer_bytes),
            holes: self.within("holes", size(table.holes), u64::MAX, defaults.holes),
            extension: self.within("extension", size(table.extension), 1 << 30, defaults.extension),
            path: self.count("path", table.path, path, defaults.path),
            name: self.count("name", table.name, name, defaults.name),
            depth: self.count("depth", table.depth, path / 2, defaults.depth),
            attribute: self.count("attribute", size(table.attribute), attribute, defaults.attribute),
            ratio: self.within("ratio", table.ratio, u64::MAX, defaults.ratio),
            ratio_free: self.within("ratio_free", size(table.ratio_free), u64::MAX, defaults.ratio_free),
            window: self.within("window", size(table.window), 1 << 31, defaults.window),
        }
    }

    fn count(&mut self, key: &str, value: Option<u64>, most: u64, default: usize) -> usize {
        let value = self.within(key, value, most, default as u64);
        usize::try_from(value).unwrap_or(usize::MAX)
    }

    /// A value from 1 to `most`.
    fn within(&mut self, key: &str, value: Option<u64>, most: u64, default: u64) -> u64 {
        let Some(value) = value else { return default };
        if !(1..=most).contains(&value) {
            let most = if most == u64::MAX { "infinity".to_owned() } else { most.to_string() };
            let (message, help) =
                (format!("{value} is out of range"), format!("\"{key}\" is from 1 to {most}"));
            self.0.error(&["import", key], message, help);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Settings, String> {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(root.path());
        std::fs::create_dir_all(paths.settings().parent().unwrap()).unwrap();
        std::fs::write(paths.settings(), text).unwrap();
        Settings::load(&paths).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_set_is_as_the_manual_says() {
        assert_eq!(load("").unwrap(), Settings::default());
        let settings =
            load("[import]\nentries = 5\nratio_free = \"1M\"\nlayer_size = \"infinity\"\n").unwrap();
        let import = Limits { entries: 5, ratio_free: 1 << 20, layer_bytes: u64::MAX, ..Limits::default() };
        assert_eq!(settings.import, import);
    }

    #[test]
    fn limits_of_all_containers_are_read_as_those_of_one() {
        let text = "[resources]\nmemory_max = \"2G\"\ntasks_max = 512\ncpu_quota = \"50%\"\n";
        let expected = Resources {
            memory_max: Some(2 << 30),
            tasks_max: Some(512),
            cpu_quota_per_sec_usec: Some(500_000),
            ..Resources::default()
        };
        assert_eq!(load(text).unwrap().resources, expected);
        let error =
            load("[resources]\nmemory_max = 0\ntasks_max = \"many\"\nslice = \"a.slice\"\n").unwrap_err();
        for part in ["sampan.toml:2:14", "\"memory_max\" cannot be 0", "sampan.toml:3:13", "sampan.toml:4:1"]
        {
            assert!(error.contains(part), "{error}\ndoes not say {part}");
        }
    }

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        let error = load("[import]\nentires = 5\nname = 256\ndepth = 0\nratio = \"many\"\n").unwrap_err();
        for part in [
            "sampan.toml:2:1",
            "did you mean \"entries\"?",
            "256 is out of range",
            "\"name\" is from 1 to 255",
            "0 is out of range",
            "sampan.toml:5:9",
        ] {
            assert!(error.contains(part), "{error}\ndoes not say {part}");
        }
        assert!(load("[import\n").unwrap_err().contains("sampan.toml:1"));
    }

    #[test]
    fn the_manual_names_every_setting_and_its_default() {
        let manual = include_str!("../../man/sampan.toml.5");
        let Limits { entries, layers, path, name, depth, ratio, .. } = Limits::default();
        let numbers = [("entries", entries), ("ratio", ratio)];
        let counts = [("layers", layers), ("path", path), ("name", name), ("depth", depth)];
        let sizes = [
            ("names", "24M"),
            ("layer_size", "256G"),
            ("holes", "64G"),
            ("extension", "1M"),
            ("attribute", "64K"),
            ("ratio_free", "256M"),
            ("window", "32M"),
        ];
        let numbers = numbers.map(|(key, value)| (key, value.to_string()));
        let counts = counts.map(|(key, value)| (key, value.to_string()));
        let sizes = sizes.map(|(key, value)| (key, format!("\"{value}\"")));
        for (key, value) in numbers.into_iter().chain(counts).chain(sizes) {
            let line = format!(".It Sy {key} = {value}\n");
            assert!(manual.contains(&line), "the manual lacks {line}");
            assert_eq!(load(&format!("[import]\n{key} = {value}\n")).unwrap(), Settings::default(), "{key}");
        }
    }
}
