//! How many connections there are of whom.

use super::header::Endpoint;
use rustix::net::sockopt::socket_peercred;
use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::AsFd;

/// Who connections are counted for, as systemd.socket(5) has it for `MaxConnectionsPerSource=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    Address(IpAddr),
    /// Of a unix socket.
    User(u32),
}

impl Source {
    /// Of a client, by its socket where it has no address.
    pub(super) fn of(client: &Endpoint, socket: impl AsFd) -> Option<Self> {
        let user = || socket_peercred(socket).ok().map(|credentials| Self::User(credentials.uid.as_raw()));
        client.ip().map(Self::Address).or_else(user)
    }
}

/// Connections, all and by source.
#[derive(Debug)]
pub(super) struct Sources {
    count: u32,
    most: u32,
    most_per_source: Option<u32>,
    by_source: HashMap<Source, u32>,
}

impl Sources {
    pub(super) fn new(most: u32, most_per_source: Option<u32>) -> Self {
        Self { count: 0, most, most_per_source, by_source: HashMap::new() }
    }

    /// Whether sources are told apart.
    pub(super) fn are_counted(&self) -> bool {
        self.most_per_source.is_some()
    }

    /// Whether there is no place for anybody.
    pub(super) fn is_full(&self) -> bool {
        self.count >= self.most
    }

    /// Counts one more, unless that is one too many of its source.
    pub(super) fn add(&mut self, source: Option<Source>) -> bool {
        if let (Some(source), Some(most)) = (source, self.most_per_source) {
            let count = self.by_source.get(&source).copied().unwrap_or_default();
            if count >= most {
                return false;
            }
            self.by_source.insert(source, count + 1);
        }
        self.count += 1;
        true
    }

    /// One has ended.
    pub(super) fn remove(&mut self, source: Option<Source>) {
        self.count = self.count.saturating_sub(1);
        let Some(source) = source else { return };
        if let Some(count) = self.by_source.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_for_all_and_for_each() {
        let [one, other] = ["192.0.2.1", "::1"].map(|ip| Some(Source::Address(ip.parse().unwrap())));
        let mut sources = Sources::new(3, Some(2));
        assert!(sources.add(one) && sources.add(one) && !sources.add(one));
        assert!(!sources.is_full() && sources.add(other) && sources.is_full());
        sources.remove(one);
        assert!(!sources.is_full() && sources.add(one));
        for source in [one, one, other] {
            sources.remove(source);
        }
        assert!(sources.by_source.is_empty() && sources.count == 0);
    }
}
