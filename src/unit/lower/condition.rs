//! `unit.condition` and `unit.assert` as meant.

use crate::unit::model::{Condition, Otherwise, PathTest, Test};
use crate::unit::schema::{ConditionTable, Many, UnitTable};
use crate::unit::value::AbsolutePath;

/// All conditions of a unit; those that assert come last, as in systemd.unit(5).
pub fn lower(table: &UnitTable) -> Vec<Condition> {
    let tables = [(&table.condition, Otherwise::Skip), (&table.asserted, Otherwise::Fail)];
    let both = tables.into_iter().filter_map(|(table, otherwise)| Some((table.as_ref()?, otherwise)));
    both.flat_map(|(table, otherwise)| Conditions { otherwise, list: Vec::new() }.all(table)).collect()
}

struct Conditions {
    otherwise: Otherwise,
    list: Vec<Condition>,
}

impl Conditions {
    fn add<T: Clone>(&mut self, key: &str, values: &Many<T>, test: impl Fn(T) -> Test) {
        let conditions = values.0.iter().map(|stated| Condition {
            test: test(stated.value.clone()),
            expected: stated.expected,
            role: stated.role,
            otherwise: self.otherwise,
            text: format!("{key} = \"{}\"", stated.text),
        });
        self.list.extend(conditions.collect::<Vec<_>>());
    }

    fn path(&mut self, key: &str, values: &Many<AbsolutePath>, test: PathTest) {
        self.add(key, values, |path| Test::Path(test, path.0));
    }

    fn all(mut self, table: &ConditionTable) -> Vec<Condition> {
        self.paths(table);
        self.host(table);
        self.add("credential", &table.credential, |name| Test::Credential(name.0));
        self.add("environment", &table.environment, |word| Test::Environment(word.0));
        self.add("security", &table.security, Test::Security);
        self.add("capability", &table.capability, |name| Test::Capability(name.0));
        self.add("user", &table.user, |user| Test::User(user.0));
        self.add("group", &table.group, |group| Test::Group(group.0));
        self.list
    }

    fn paths(&mut self, table: &ConditionTable) {
        self.path("path_exists", &table.path_exists, PathTest::Exists);
        self.add("path_exists_glob", &table.path_exists_glob, |pattern| Test::PathExistsGlob(pattern.0));
        self.path("path_is_directory", &table.path_is_directory, PathTest::IsDirectory);
        self.path("path_is_symbolic_link", &table.path_is_symbolic_link, PathTest::IsSymbolicLink);
        self.path("path_is_mount_point", &table.path_is_mount_point, PathTest::IsMountPoint);
        self.path("path_is_read_write", &table.path_is_read_write, PathTest::IsReadWrite);
        self.path("path_is_socket", &table.path_is_socket, PathTest::IsSocket);
        self.path("directory_not_empty", &table.directory_not_empty, PathTest::DirectoryNotEmpty);
        self.path("file_not_empty", &table.file_not_empty, PathTest::FileNotEmpty);
        self.path("file_is_executable", &table.file_is_executable, PathTest::FileIsExecutable);
    }

    fn host(&mut self, table: &ConditionTable) {
        self.add("host", &table.host, |host| Test::Host(host.0));
        self.add("architecture", &table.architecture, |word| Test::Architecture(word.0));
        self.add("firmware", &table.firmware, Test::Firmware);
        self.add("virtualization", &table.virtualization, Test::Virtualization);
        self.add("kernel_command_line", &table.kernel_command_line, |word| Test::KernelCommandLine(word.0));
        self.add("kernel_version", &table.kernel_version, |tests| Test::KernelVersion(tests.0));
        self.add("kernel_module_loaded", &table.kernel_module_loaded, |name| {
            Test::KernelModuleLoaded(name.0)
        });
        self.add("os_release", &table.os_release, |tests| Test::OsRelease(tests.0));
        self.add("ac_power", &table.ac_power, |power| Test::AcPower(power.0));
        self.add("first_boot", &table.first_boot, |first| Test::FirstBoot(first.0));
        self.add("memory", &table.memory, |test| Test::Memory(test.0, test.1));
        self.add("cpus", &table.cpus, |test| Test::Cpus(test.0, test.1));
        self.add("cpu_feature", &table.cpu_feature, |word| Test::CpuFeature(word.0));
        self.add("control_group_controller", &table.control_group_controller, |words| {
            Test::ControlGroupController(words.0)
        });
    }
}
