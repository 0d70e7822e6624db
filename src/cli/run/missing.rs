//! Options that other engines have for `run` and this one has not, and what does the same here.

/// What is said of an option; `None` for one that nobody has.
pub fn advice(option: &str) -> Option<&'static str> {
    let name = option.split('=').next().unwrap_or_default();
    ABSENT.iter().find(|(names, _)| names.contains(&name)).map(|(_, advice)| *advice)
}

const ABSENT: &[(&[&str], &str)] = &[
    (
        &["--cap-add", "--cap-drop"],
        "say which capabilities it has with --property 'security.capabilities=[\"CAP_NET_RAW\"]'",
    ),
    (&["--privileged"], "say what it needs with --property, see [security] in sampan.unit(5)"),
    (&["--security-opt"], "see [security] in sampan.unit(5), with --property"),
    (&["--userns"], "use --property security.user_namespace=host"),
    (&["--device", "--gpus"], "devices of the host cannot be passed yet"),
    (&["--mount"], "use --volume, --tmpfs, or --property for [mount] of sampan.unit(5)"),
    (&["--annotation"], "use --label"),
    (
        &["--link", "--network-alias", "--ip", "--dns", "--add-host"],
        "there are no networks of containers yet",
    ),
    (&["-P", "--publish-all"], "publish each port with --publish"),
    (&["--expose"], "ports need not be exposed: publish them with --publish"),
    (&["--memory-swap"], "use --property resources.memory_swap_max=SIZE"),
    (&["--cpu-shares"], "use --property resources.cpu_weight=NUMBER"),
    (&["--stop-signal"], "use --property container.stop_signal=SIGNAL"),
    (&["--stop-timeout"], "use --property container.stop_timeout=TIME"),
    (&["--health-cmd", "--health-interval"], "use --property health.command=[...]"),
    (&["--log-driver", "--log-opt"], "with --detach it writes to the journal: see \"sampanctl logs\""),
    (&["--pid", "--ipc", "--uts", "--cgroupns"], "its namespaces are always its own"),
    (&["--platform"], "pull it first, with \"sampanctl pull --platform\""),
    (
        &["--pod", "--replace", "--cidfile", "--sig-proxy", "--ulimit", "--sysctl"],
        "there is nothing of the kind",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_is_known() {
        assert!(advice("--cap-add=NET_RAW").unwrap().contains("security.capabilities"));
        assert_eq!(advice("--frobnicate"), None);
    }
}
