//! How far a list's server may send us: one outside the house not into it, where routers and printers do what they are asked from
//! inside.
//!
//! A list that a person keeps in the house may lead anywhere. Which of the two it is tells the host of the configured address.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Url;

/// What is known of a list's own host.
#[derive(Debug)]
pub(super) struct Reach {
    host: String,
    /// Whether it is in the house; known of a name once it was looked up.
    is_inside: AtomicBool,
}

impl Reach {
    /// From the configured address.
    pub(super) fn of(url: &Url) -> Self {
        Self {
            host: url.host_str().unwrap_or_default().to_ascii_lowercase(),
            is_inside: AtomicBool::new(address_of(url).is_some_and(is_inside)),
        }
    }

    /// Whether a redirect may lead there, as far as its address tells; where it has a name, [`Self::reachable`] decides.
    pub(super) fn may_lead_to(&self, url: &Url) -> bool {
        self.is_inside.load(Ordering::Relaxed) || !address_of(url).is_some_and(is_inside)
    }

    /// Those of a host's addresses that may be connected to.
    pub(super) fn reachable(&self, host: &str, mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        if host.eq_ignore_ascii_case(&self.host) {
            // One that says both is outside: it chooses what it says.
            let all_inside = addresses.iter().copied().all(is_inside);
            self.is_inside.store(all_inside, Ordering::Relaxed);
        } else if !self.is_inside.load(Ordering::Relaxed) {
            addresses.retain(|address| !is_inside(*address));
        }
        addresses
    }
}

fn address_of(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

/// Whether an address is of this machine or of a network behind a router (RFC 1918, 3927, 4193, 4291, 6598).
fn is_inside(address: IpAddr) -> bool {
    let is_inside_v4 = |address: Ipv4Addr| {
        let [a, b, ..] = address.octets();
        a == 0
            || address.is_loopback()
            || address.is_private()
            || address.is_link_local()
            || (a == 100 && b & 0xc0 == 64)
    };
    match address {
        IpAddr::V4(address) => is_inside_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => is_inside_v4(address),
            None => {
                address.is_loopback()
                    || address.is_unspecified()
                    || address.is_unique_local()
                    || address.is_unicast_link_local()
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_outside_leads_nobody_into_the_house() {
        #[track_caller]
        fn check(from: &str, host_is_at: &[&str], to: &str, expected: bool) {
            let (from, to): (Url, Url) = (from.parse().unwrap(), to.parse().unwrap());
            let reach = Reach::of(&from);
            let addresses =
                |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
            reach.reachable(from.host_str().unwrap(), addresses(host_is_at));
            assert_eq!(reach.may_lead_to(&to), expected, "{from} to {to}");
        }
        let outside: &[&str] = &["203.0.113.7"];
        for to in [
            "http://192.168.1.1/reboot",
            "http://127.0.0.1:8053/",
            "http://[::1]/",
            "http://[fe80::1]/",
            "http://[fd00::1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://0.0.0.0/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://100.64.0.1/",
            "http://169.254.169.254/latest/",
        ] {
            check("https://lists.example/a", outside, to, false);
            check("https://lists.example/a", &["192.168.1.5", "203.0.113.7"], to, false);
            check("https://nas.lan/a", &["192.168.1.5"], to, true);
        }
        check("https://lists.example/a", outside, "https://203.0.113.9/a", true);
        check("https://lists.example/a", outside, "https://other.example/a", true);
        check("http://192.168.1.5/a", &["192.168.1.5"], "http://192.168.1.6/a", true);
    }

    #[test]
    fn a_name_that_is_led_to_is_not_in_the_house_either() {
        let reach = Reach::of(&"https://lists.example/a".parse().unwrap());
        let [outside, inside]: [IpAddr; 2] = ["203.0.113.7".parse().unwrap(), "192.168.1.1".parse().unwrap()];
        assert_eq!(reach.reachable("lists.example", vec![outside]), [outside]);
        assert_eq!(reach.reachable("router.example", vec![inside, outside]), [outside]);
        assert_eq!(reach.reachable("localhost", vec![inside]), Vec::<IpAddr>::new());
        let reach = Reach::of(&"https://nas.lan/a".parse().unwrap());
        assert_eq!(reach.reachable("nas.lan", vec![inside]), [inside]);
        assert_eq!(reach.reachable("router.lan", vec![inside]), [inside]);
    }
}
