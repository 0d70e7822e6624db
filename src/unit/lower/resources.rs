//! How much of the host a container may use, as meant.

use crate::unit::model::{ManagedOom, OfDevices, Resources};
use crate::unit::report::Report;
use crate::unit::schema::ResourcesTable;
use crate::unit::value::{AbsolutePath, PressureLimit, Text};
use std::collections::BTreeMap;

pub fn resources(table: &ResourcesTable, report: &mut Report<'_>) -> Resources {
    let memory = [
        ("memory_max", &table.memory_max),
        ("memory_high", &table.memory_high),
        ("page_cache_high", &table.page_cache_high),
    ];
    for (key, value) in memory {
        if value.as_ref().is_some_and(|Text(bytes)| bytes.0 == 0) {
            report.error(
                &["resources", key],
                format!("\"{key}\" cannot be 0"),
                "nothing could run: write \"infinity\" for no limit",
            );
        }
    }
    Resources {
        memory_max: table.memory_max.clone().map(|Text(bytes)| bytes.0),
        memory_high: table.memory_high.clone().map(|Text(bytes)| bytes.0),
        memory_low: table.memory_low.clone().map(|Text(bytes)| bytes.0),
        memory_min: table.memory_min.clone().map(|Text(bytes)| bytes.0),
        memory_swap_max: table.memory_swap_max.clone().map(|Text(bytes)| bytes.0),
        page_cache_high: table.page_cache_high.clone().map(|Text(bytes)| bytes.0),
        oom_policy: table.oom_policy.unwrap_or_default(),
        managed_oom: managed_oom(table, report),
        cpu_quota_per_sec_usec: table.cpu_quota.clone().map(|Text(share)| share.0),
        cpu_weight: table.cpu_weight.clone().map(|Text(weight)| weight.0),
        io_weight: table.io_weight.clone().map(|Text(weight)| weight.0),
        io_device_weight: of_devices(&table.io_device_weight, |weight| weight.0),
        io_read_bandwidth_max: of_devices(&table.io_read_bandwidth_max, |rate| rate.0),
        io_write_bandwidth_max: of_devices(&table.io_write_bandwidth_max, |rate| rate.0),
        io_read_iops_max: of_devices(&table.io_read_iops_max, |rate| rate.0),
        io_write_iops_max: of_devices(&table.io_write_iops_max, |rate| rate.0),
        ip_accounting: table.ip_accounting.unwrap_or_default(),
        tasks_max: table.tasks_max.clone().map(|Text(limit)| limit.0),
        allowed_cpus: table.allowed_cpus.clone().map(|Text(cpus)| cpus.0).unwrap_or_default(),
        slice: table.slice.clone().map(|Text(slice)| slice.0),
    }
}

fn managed_oom(table: &ResourcesTable, report: &mut Report<'_>) -> ManagedOom {
    let limit = table.managed_oom_memory_pressure_limit.as_ref().map(|Text(PressureLimit(limit))| *limit);
    let managed = ManagedOom {
        swap: table.managed_oom_swap,
        memory_pressure: table.managed_oom_memory_pressure,
        memory_pressure_limit: limit,
        preference: table.managed_oom_preference,
    };
    if managed.has_idle_limit() {
        report.error(
            &["resources", "managed_oom_memory_pressure_limit"],
            "nothing follows from this limit",
            "write managed_oom_memory_pressure = \"kill\" beside it, or leave it out",
        );
    }
    managed
}

fn of_devices<T>(table: &BTreeMap<Text<AbsolutePath>, Text<T>>, number: fn(&T) -> u64) -> OfDevices {
    table.iter().map(|(Text(path), Text(value))| (path.0.clone(), number(value))).collect()
}
