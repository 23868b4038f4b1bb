//! Whether NO_PROXY keeps a host from being reached through the environment's proxy, as Go's programs read it. Pure.
//!
//! kube compares NO_PROXY with the proxy instead of with the API server; and like kubectl, a cluster on this machine
//! is never looked for behind a proxy.

use std::net::IpAddr;

/// Whether `host` is reached directly.
pub(super) fn bypassed(host: &str, port: Option<u16>, no_proxy: &str) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    let entries = no_proxy.split(',').map(|entry| entry.trim().to_ascii_lowercase());
    entries.filter(|entry| !entry.is_empty()).any(|entry| matches(&entry, &host, address, port))
}

fn matches(entry: &str, host: &str, address: Option<IpAddr>, port: Option<u16>) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, length)) = entry.split_once('/') {
        let network: Option<IpAddr> = network.parse().ok();
        return match (network, length.parse(), address) {
            (Some(network), Ok(length), Some(address)) => contains(network, length, address),
            _ => false,
        };
    }
    if let Ok(entry) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
        return address == Some(entry);
    }
    let (name, wanted) = match entry.rsplit_once(':') {
        Some((name, wanted)) => (name, wanted.parse::<u16>().ok()),
        None => (entry, None),
    };
    if wanted.is_some() && wanted != port {
        return false;
    }
    match name.strip_prefix('*').unwrap_or(name).strip_prefix('.') {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
        None => host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')),
    }
}

fn contains(network: IpAddr, length: u32, address: IpAddr) -> bool {
    let (network, address, bits) = match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (network.to_bits().into(), address.to_bits().into(), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), 128),
        _ => return false,
    };
    let differing: u128 = network ^ address;
    length <= bits && differing.checked_shr(bits - length).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_go_reads_them() {
        let direct = |host: &str, no_proxy: &str| bypassed(host, Some(6443), no_proxy);
        for (host, no_proxy) in [
            ("localhost", ""),
            ("127.0.0.1", ""),
            ("[::1]", ""),
            ("api.example.org", "*"),
            ("api.example.org", "example.org"),
            ("example.org", "example.org"),
            ("API.example.org.", "other, .example.org"),
            ("api.example.org", "*.example.org"),
            ("api.example.org", "api.example.org:6443"),
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3", "10.0.0.0/8"),
            ("fd00::1", "fd00::/8"),
            ("1.2.3.4", "0.0.0.0/0"),
        ] {
            assert!(direct(host, no_proxy), "{host} {no_proxy}");
        }
        for (host, no_proxy) in [
            ("api.example.org", ""),
            ("example.org", ".example.org"),
            ("badexample.org", "example.org"),
            ("api.example.org", "api.example.org:443"),
            ("11.1.2.3", "10.0.0.0/8"),
            ("10.1.2.3", "10.0.0.0/99"),
            ("10.1.2.3", "fd00::/8"),
            ("api.example.org", "10.0.0.0/8,,"),
        ] {
            assert!(!direct(host, no_proxy), "{host} {no_proxy}");
        }
    }
}
