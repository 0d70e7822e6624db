//! From a file as written to a unit as meant, with everything that contradicts itself reported.

mod accept;
mod commands;
mod condition;
mod container;
mod credential;
mod device;
mod health;
mod idle;
mod life;
mod mount;
mod process;
mod resources;
mod scheduling;
mod socket;
mod timer;

use super::address::{Dependency, InstallName, InstallTarget, is_native};
use super::effect;
use super::model::{Body, Dependencies, Handling, Install, Unit};
use super::name::UnitName;
use super::report::Report;
use super::schema::{ContainerFile, InstallTable, TargetFile, UnitTable};
use super::value::Text;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The files that a unit was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The file of the unit; `None` for a target that exists by name only.
    pub fragment: Option<PathBuf>,
    /// Its drop-ins in the order of merging.
    pub drop_ins: Vec<PathBuf>,
}

/// Makes a container's unit. `None` when there is no image; whatever else is wrong is in the report.
pub fn container(
    name: &UnitName,
    files: Files,
    file: ContainerFile,
    report: &mut Report<'_>,
) -> Option<Unit> {
    effect::report(report);
    let sockets = socket::lower(&file.socket, report);
    let mut mounts = mount::lower(&file.mount, report);
    process::timezone(&file, &mut mounts);
    let container = container::lower(name, &file, sockets, mounts, report);
    let unit = unit(name, files, file.unit, &file.install, report);
    Some(Unit { body: Body::Container(Box::new(container?)), ..unit })
}

/// Makes a target's unit.
pub fn target(name: &UnitName, files: Files, file: TargetFile, report: &mut Report<'_>) -> Unit {
    effect::report(report);
    unit(name, files, file.unit, &file.install, report)
}

fn unit(
    name: &UnitName,
    files: Files,
    table: UnitTable,
    install: &InstallTable,
    report: &mut Report<'_>,
) -> Unit {
    let dependencies = dependencies(name, &table, report);
    let conditions = condition::lower(&table);
    Unit {
        name: name.clone(),
        fragment: files.fragment,
        drop_ins: files.drop_ins,
        description: table.description.unwrap_or_else(|| name.to_string()),
        documentation: table.documentation,
        dependencies: dependencies.into(),
        conditions,
        handling: Handling {
            stop_when_unneeded: table.stop_when_unneeded.unwrap_or_default(),
            refuse_manual_start: table.refuse_manual_start.unwrap_or_default(),
            refuse_manual_stop: table.refuse_manual_stop.unwrap_or_default(),
            allow_isolate: table.allow_isolate.unwrap_or_default(),
            ignore_on_isolate: table.ignore_on_isolate.unwrap_or_default(),
            collect: table.collect_mode.unwrap_or_default(),
        },
        body: Body::Target,
        install: lower_install(name, install, report).into(),
    }
}

fn dependencies(name: &UnitName, table: &UnitTable, report: &mut Report<'_>) -> Dependencies {
    let mut read = |key: &str, names: &[Text<Dependency>]| units(name, key, names, report);
    let dependencies = Dependencies {
        requires: read("requires", &table.requires),
        requisite: read("requisite", &table.requisite),
        wants: read("wants", &table.wants),
        binds_to: read("binds_to", &table.binds_to),
        part_of: read("part_of", &table.part_of),
        upholds: read("upholds", &table.upholds),
        conflicts: read("conflicts", &table.conflicts),
        after: read("after", &table.after),
        before: read("before", &table.before),
        on_failure: read("on_failure", &table.on_failure),
        on_success: read("on_success", &table.on_success),
        propagates_stop_to: read("propagates_stop_to", &table.propagates_stop_to),
        stop_propagated_from: read("stop_propagated_from", &table.stop_propagated_from),
        propagates_reload_to: read("propagates_reload_to", &table.propagates_reload_to),
        reload_propagated_from: read("reload_propagated_from", &table.reload_propagated_from),
        requires_mounts_for: table.requires_mounts_for.iter().map(|Text(path)| path.0.clone()).collect(),
        wants_mounts_for: table.wants_mounts_for.iter().map(|Text(path)| path.0.clone()).collect(),
    };
    for (index, Text(dependency)) in table.conflicts.iter().enumerate() {
        let Dependency::Unit(rival) = dependency else { continue };
        let Dependencies { requires, requisite, binds_to, .. } = &dependencies;
        if [requires, requisite, binds_to].into_iter().any(|needed| needed.contains(rival)) {
            let message = format!("{rival} is both required and in conflict");
            report.item_error(&["unit", "conflicts"], index, message, "leave one out");
        }
    }
    for (index, Text(dependency)) in table.before.iter().enumerate() {
        if matches!(dependency, Dependency::Unit(other) if dependencies.after.contains(other)) {
            let message = format!("{dependency} is in both \"after\" and \"before\"");
            report.item_error(&["unit", "before"], index, message, "leave one out");
        }
    }
    dependencies
}

/// The names of one key.
fn units(
    name: &UnitName,
    key: &str,
    names: &[Text<Dependency>],
    report: &mut Report<'_>,
) -> BTreeSet<UnitName> {
    let way = ["unit", key];
    let mut units = BTreeSet::new();
    for (index, Text(dependency)) in names.iter().enumerate() {
        match dependency {
            Dependency::Unit(other) if other == name => {
                report.item_error(&way, index, format!("{name} names itself in \"{key}\""), "leave it out");
            }
            Dependency::Unit(other) if is_native(other) && key == "before" => {
                let message = format!("systemd does not wait for units of Sampan: {other} is not ordered");
                let help = format!("write After=sampan@{}.service into a drop-in of {other}", name.stem());
                report.item_warning(&way, index, message, help);
            }
            Dependency::Unit(other) => {
                units.insert(other.clone());
            }
            Dependency::Later(other) => {
                let message = format!("the dependency on {other} is not in effect yet");
                report.item_warning(&way, index, message, "only units of Sampan can be depended on");
            }
        }
    }
    units
}

fn lower_install(name: &UnitName, table: &InstallTable, report: &mut Report<'_>) -> Install {
    for (index, Text(InstallName(alias))) in table.alias.iter().enumerate() {
        if let Some((message, help)) = wrong_alias(name, alias) {
            report.item_error(&["install", "alias"], index, message, help);
        }
    }
    default_instance(name, table, report);
    let names = |names: &[Text<InstallName>]| names.iter().map(|Text(name)| name.0.clone()).collect();
    let targets = |names: &[Text<InstallTarget>]| names.iter().map(|Text(name)| name.0.clone()).collect();
    Install {
        wanted_by: targets(&table.wanted_by),
        required_by: targets(&table.required_by),
        upheld_by: targets(&table.upheld_by),
        alias: names(&table.alias),
        also: names(&table.also),
        default_instance: table.default_instance.clone(),
    }
}

/// Why a unit cannot have another name, and what to do.
fn wrong_alias(name: &UnitName, alias: &UnitName) -> Option<(String, String)> {
    if alias.kind() != name.kind() {
        let help = format!("an alias of this unit ends in \".{}\"", name.suffix());
        return Some((format!("{alias} is of another type"), help));
    }
    if alias == name || name.template().as_ref() == Some(alias) {
        return Some((format!("{alias} is the name of this unit itself"), "leave it out".to_owned()));
    }
    (alias.is_template() && name.instance().is_none()).then(|| {
        let help = format!(
            "an alias of this unit is a plain name, such as \"{}.{}\"",
            alias.prefix(),
            alias.suffix()
        );
        (format!("{alias} is a template, and this unit is none"), help)
    })
}

fn default_instance(name: &UnitName, table: &InstallTable, report: &mut Report<'_>) {
    let Some(instance) = &table.default_instance else { return };
    let way = ["install", "default_instance"];
    let full = format!("{}@{instance}.{}", name.prefix(), name.suffix());
    if name.instance().is_none() {
        let help = format!("leave it out, or name the file {}@.{}.toml", name.prefix(), name.suffix());
        report.error(&way, "only a template has instances", help);
    } else if instance.is_empty() || UnitName::parse(&full).is_err() {
        let help = "use letters, digits, \"_\", \".\" and \"-\"";
        report.error(&way, format!("\"{instance}\" is not the name of an instance"), help);
    }
}
