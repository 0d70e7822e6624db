//! Options that other engines have for `run` and this one has not, and what does the same here.

/// What is said of an option; `None` for one that nobody has.
pub fn advice(option: &str) -> Option<&'static str> {
    let name = option.split('=').next().unwrap_or_default();
    ABSENT.iter().find(|(names, _)| names.contains(&name)).map(|(_, advice)| *advice)
}

const ABSENT: &[(&[&str], &str)] = &[
    (&["--cap-add"], "use --property 'security.add_capabilities=[\"CAP_NET_ADMIN\"]'"),
    (&["--cap-drop"], "use --property 'security.drop_capabilities=[\"CAP_CHOWN\"]'"),
    (&["--privileged"], "say what it needs with --property, see [security] in sampan.container(5)"),
    (&["--security-opt"], "see [security] in sampan.container(5), with --property"),
    (&["--userns"], "use --property security.user_namespace=host"),
    (&["--device", "--gpus"], "use --property 'security.devices=[\"/dev/fuse\"]'"),
    (&["--mount"], "use --volume, --tmpfs, or --property for [mount] of sampan.container(5)"),
    (&["--group-add"], "use --property 'container.supplementary_groups=[\"GROUP\"]'"),
    (&["--oom-score-adj"], "use --property resources.oom_score_adjust=NUMBER"),
    (&["--cpuset-cpus"], "use --property resources.allowed_cpus=0-3"),
    (&["--memory-reservation"], "use --property resources.memory_low=SIZE"),
    (&["--ulimit"], "use --property resources.limits.nofile=SOFT:HARD"),
    (&["--sysctl"], "use --property 'security.sysctl={ \"net.core.somaxconn\" = \"1024\" }'"),
    (&["--umask"], "use --property container.umask=0022"),
    (&["--tz"], "use --property container.timezone=Europe/Berlin"),
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
    (&["--pod", "--replace", "--cidfile", "--sig-proxy"], "there is nothing of the kind"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::schema;
    use clap::CommandFactory;

    #[test]
    fn what_others_have_is_known() {
        assert!(advice("--cap-add=NET_RAW").unwrap().contains("security.add_capabilities"));
        assert_eq!(advice("--frobnicate"), None);
    }

    #[test]
    fn properties_that_are_recommended_are_keys() {
        let keys: Vec<String> = schema::keys().iter().map(|key| key.way.join(".")).collect();
        for (options, advice) in ABSENT {
            let Some((_, property)) = advice.split_once("--property ").filter(|(_, rest)| rest.contains('='))
            else {
                continue;
            };
            let key = property.trim_start_matches('\'').split('=').next().unwrap();
            assert!(keys.iter().any(|known| known == key), "{options:?}: {key}");
        }
    }

    #[test]
    fn no_option_is_absent_that_is_there() {
        let run = crate::cli::args::Cli::command().find_subcommand("run").unwrap().clone();
        for name in ABSENT.iter().flat_map(|(names, _)| *names) {
            let is_there = run.get_arguments().any(|option| {
                let mut known =
                    option.get_long().into_iter().chain(option.get_all_aliases().unwrap_or_default());
                known.any(|known| format!("--{known}") == *name)
            });
            assert!(!is_there, "{name}");
        }
    }
}
