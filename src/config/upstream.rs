//! What stands under `[upstream]`: who is asked, and for what.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Config;
use super::read::{absolute_path, not_empty, set};
use super::reader::{Section, Value};
use crate::name::DomainName;
use crate::resolve::{
    Host, Pin, ResolveOptions, RouteOptions, Strategy, UpstreamAddress, UpstreamOptions, check_authority,
};

const SERVER_EXPECTED: &str =
    "an upstream such as `udp://9.9.9.9` or { url = \"tls://dns.example\", addresses = [\"192.0.2.1\"] }";
const DOMAIN_EXPECTED: &str =
    "a name such as `fritz.box`, or the prefix of addresses such as `192.168.178.0/24`";
/// The port of DNS.
const PORT: u16 = 53;

pub(super) fn read_upstream(mut upstream: Section<'_>, listen: &[SocketAddr], options: &mut ResolveOptions) {
    if let Some(value) = upstream.get("servers") {
        options.servers = read_servers(&value, listen);
        not_empty(&value, "an upstream; without one nothing resolves");
    }
    if let Some(value) = upstream.get("strategy") {
        set(&mut options.strategy, read_strategy(&value));
    }
    if let Some(value) = upstream.get("bootstrap") {
        options.bootstrap = value.list("an address such as `9.9.9.9`", |text| {
            let address = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT)));
            let address: SocketAddr = address
                .map_err(|_| format!("`{text}` is not an address; write `9.9.9.9` or `[2620:fe::fe]:53`"))?;
            is_other(address, listen).map(|()| address)
        });
    }
    for section in upstream.sections("routes") {
        if let Some(route) = read_route(section, listen, &options.routes) {
            options.routes.push(route);
        }
    }
}

pub(super) fn read_strategy(value: &Value<'_>) -> Option<Strategy> {
    value.parse("`ordered`, `fastest`, `race` or `spread`", str::parse)
}

fn read_route(
    mut section: Section<'_>,
    listen: &[SocketAddr],
    others: &[RouteOptions],
) -> Option<RouteOptions> {
    let (domains, servers) = (section.get("domains"), section.get("servers"));
    if !section.exists() {
        return None;
    }
    let (Some(domains), Some(servers)) = (domains, servers) else {
        section.complain("expected `domains` and `servers`: which names, and who is asked for them");
        return None;
    };
    not_empty(&domains, DOMAIN_EXPECTED);
    not_empty(&servers, "an upstream; these names would not resolve");
    let mut names: Vec<DomainName> = Vec::new();
    for element in domains.elements() {
        let Some(name) = element.parse(DOMAIN_EXPECTED, read_domain) else { continue };
        if names.iter().chain(others.iter().flat_map(|route| &route.domains)).any(|other| *other == name) {
            element.complain(format!("`{name}` has a route already"));
        } else {
            names.push(name);
        }
    }
    let servers = read_servers(&servers, listen);
    (!names.is_empty() && !servers.is_empty()).then_some(RouteOptions { domains: names, servers })
}

fn read_domain(text: &str) -> Result<DomainName, String> {
    if let Ok(prefix) = text.parse::<IpNet>() {
        return reverse_zone(&prefix);
    }
    if text == "." {
        return Err("this is every name; name who is asked for those as `upstream.servers`".to_owned());
    }
    DomainName::parse(text.strip_prefix("*.").unwrap_or(text)).map_err(|error| error.to_string())
}

/// The zone of the names of addresses (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn reverse_zone(prefix: &IpNet) -> Result<DomainName, String> {
    let length = usize::from(prefix.prefix_len());
    let (step, mut labels, suffix) = match prefix.addr() {
        IpAddr::V4(ip) => (8, ip.octets().map(|octet| octet.to_string()).to_vec(), "in-addr.arpa"),
        IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 0xf]);
            (4, nibbles.map(|nibble| format!("{nibble:x}")).collect(), "ip6.arpa")
        }
    };
    if length == 0 || length % step != 0 {
        return Err(format!(
            "`{prefix}` is not one zone; write prefixes whose length is a multiple of {step}"
        ));
    }
    labels.truncate(length / step);
    labels.reverse();
    labels.push(suffix.to_owned());
    DomainName::parse(&labels.join(".")).map_err(|error| error.to_string())
}

pub(super) fn read_servers(value: &Value<'_>, listen: &[SocketAddr]) -> Vec<UpstreamOptions> {
    let mut servers: Vec<UpstreamOptions> = Vec::new();
    for element in value.elements() {
        let server = match element.as_section() {
            Some(section) => read_server(section, &element, listen),
            None => element
                .parse(SERVER_EXPECTED, |text| UpstreamOptions::from(read_address(text, listen)?).checked()),
        };
        let Some(server) = server else { continue };
        if servers.iter().any(|other| other.address == server.address) {
            element.complain(format!("`{}` is named already", server.address));
        } else {
            servers.push(server);
        }
    }
    servers
}

fn read_server(
    mut section: Section<'_>,
    element: &Value<'_>,
    listen: &[SocketAddr],
) -> Option<UpstreamOptions> {
    let url = section.get("url");
    let addresses = section.get("addresses").map(|value| {
        value.list("an address such as `192.0.2.1`", |text| {
            text.parse::<IpAddr>()
                .map_err(|_| format!("`{text}` is not an address; write `192.0.2.1` or `2001:db8::1`"))
        })
    });
    let tls_name = section.get("name").and_then(|value| value.text("a name such as `dns.example`"));
    let pins = section.get("pin").map(|value| {
        let expected = "the SHA-256 of a public key such as `sha256/...`";
        if value.value.is_array() {
            value.list(expected, str::parse::<Pin>)
        } else {
            value.parse(expected, str::parse::<Pin>).into_iter().collect()
        }
    });
    let checks_name = section.get("check_name").and_then(|value| value.boolean());
    let ca = section.get("ca").map(|value| value.parse("a file", absolute_path));
    let Some(url) = url else {
        section.complain(format!("expected `url`: {SERVER_EXPECTED}"));
        return None;
    };
    let address = url.parse(SERVER_EXPECTED, |text| read_address(text, listen))?;
    let options = UpstreamOptions {
        address,
        addresses: addresses.unwrap_or_default(),
        tls_name: tls_name.map(str::to_owned),
        // A key that can't be read is complained of already, and must not be taken for none.
        pins: pins.unwrap_or_default(),
        checks_name: checks_name.unwrap_or(true),
        ca: ca.flatten(),
    };
    match options.checked() {
        Ok(options) => Some(options),
        Err(problem) => {
            element.complain(problem);
            None
        }
    }
}

fn read_address(text: &str, listen: &[SocketAddr]) -> Result<UpstreamAddress, String> {
    let address: UpstreamAddress =
        text.parse().map_err(|error: crate::resolve::UpstreamAddressError| error.to_string())?;
    if let Host::Ip(ip) = address.host {
        is_other(SocketAddr::new(ip, address.port), listen)?;
    }
    Ok(address)
}

/// That an address is not one that we listen on.
fn is_other(address: SocketAddr, listen: &[SocketAddr]) -> Result<(), String> {
    let is_own = |own: &SocketAddr| {
        own.port() == address.port()
            && (own.ip() == address.ip() || own.ip().is_unspecified() && address.ip().is_loopback())
    };
    if listen.iter().any(is_own) {
        return Err("this is pixelsink itself; name another resolver".to_owned());
    }
    Ok(())
}

impl Config {
    /// What is wrong with files of authorities: their upstreams would never be trusted. Reads the files.
    pub fn unusable_authorities(&self) -> Vec<String> {
        let of_routes = self.resolve.routes.iter().flat_map(|route| &route.servers);
        let of_groups = self.resolve.groups.iter().flat_map(|group| &group.servers);
        let all = self.resolve.servers.iter().chain(of_routes).chain(of_groups);
        let problem = |upstream: &UpstreamOptions| {
            let problem = check_authority(upstream.ca.as_ref()?).err()?;
            Some(format!(
                "upstream {}: its `ca` can't be used, so that it will not be trusted: {problem}. Name the file with the certificate of \
                 its authority, or leave `ca` out if a public one signed it",
                upstream.address
            ))
        };
        all.filter_map(problem).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_zones_of_names_of_addresses() {
        for (text, expected) in [
            ("192.168.0.0/16", Ok("168.192.in-addr.arpa")),
            ("192.168.178.0/24", Ok("178.168.192.in-addr.arpa")),
            ("10.0.0.0/8", Ok("10.in-addr.arpa")),
            ("fd00::/8", Ok("d.f.ip6.arpa")),
            ("2001:db8::/32", Ok("8.b.d.0.1.0.0.2.ip6.arpa")),
            ("*.fritz.box", Ok("fritz.box")),
            ("172.16.0.0/12", Err("multiple of 8")),
            ("0.0.0.0/0", Err("multiple of 8")),
            (".", Err("every name")),
        ] {
            match (read_domain(text), expected) {
                (Ok(name), Ok(expected)) => assert_eq!(name.to_string(), expected),
                (Err(error), Err(words)) => assert!(error.contains(words), "{error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
