//! Host names to addresses, with the system's configuration as it was before the walls.

use std::{net::IpAddr, sync::Arc};

use hickory_resolver::{
    Hosts, TokioResolver,
    config::{ResolveHosts, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
    proto::{
        op::Query,
        rr::{Name, RecordType},
    },
    system_conf::parse_resolv_conf,
};

use crate::facts::read_file;

/// Everything that is needed to look names up without opening a file.
pub struct Names {
    hosts: Arc<Hosts>,
    resolver: Option<TokioResolver>,
}

impl Names {
    /// Reads `/etc/hosts` and `/etc/resolv.conf`. Where the latter is missing or names no server, only names in the former
    /// and literal addresses resolve.
    #[must_use]
    pub fn from_system() -> Self {
        let hosts = read_file(c"/etc/hosts").unwrap_or_default();
        let servers = read_file(c"/etc/resolv.conf").ok().and_then(|text| parse_resolv_conf(text).ok());
        Self::new(&hosts, servers)
    }

    fn new(hosts_file: &[u8], servers: Option<(ResolverConfig, ResolverOpts)>) -> Self {
        let mut hosts = Hosts::default();
        // A line that cannot be read is left out.
        let _ = hosts.read_hosts_conf(hosts_file);
        let hosts = Arc::new(hosts);
        let resolver = servers.and_then(|(config, mut options)| {
            options.use_hosts_file = ResolveHosts::Never;
            let mut resolver =
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options).build().ok()?;
            resolver.set_hosts(Arc::clone(&hosts));
            Some(resolver)
        });
        Self { hosts, resolver }
    }

    /// Addresses of `host`: itself if it is one, else what the hosts file or the name servers say. Empty when nobody knows.
    pub async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = literal.parse() {
            return vec![address];
        }
        match &self.resolver {
            Some(resolver) => resolver.lookup_ip(host).await.map(|found| found.iter().collect()).unwrap_or_default(),
            None => self.in_hosts_file(host),
        }
    }

    fn in_hosts_file(&self, host: &str) -> Vec<IpAddr> {
        let Ok(mut name) = Name::from_utf8(host) else {
            return Vec::new();
        };
        name.set_fqdn(true);
        [RecordType::AAAA, RecordType::A]
            .into_iter()
            .filter_map(|kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind)))
            .flat_map(|found| found.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literals_and_the_hosts_file_need_no_server() {
        let names = Names::new(b"# comment\n192.0.2.7 node.example node\n2001:db8::7 node.example\n", None);
        let node: Vec<IpAddr> = vec![[0x2001, 0xdb8, 0, 0, 0, 0, 0, 7].into(), [192, 0, 2, 7].into()];
        assert_eq!(names.addresses("node.example").await, node);
        assert_eq!(names.addresses("node").await, node[1..]);
        assert_eq!(names.addresses("127.0.0.1").await, [IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(names.addresses("[::1]").await, [IpAddr::from([0_u16, 0, 0, 0, 0, 0, 0, 1])]);
        assert!(names.addresses("unknown.example").await.is_empty());
        assert!(names.addresses("not a name").await.is_empty());
    }
}
