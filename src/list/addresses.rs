//! Lists of addresses: an address or a prefix a line, for answers that have one of them (Spamhaus DROP, FireHOL and their kind).
//!
//! Only a list that is declared to be one is read so: in any other, an address that stands alone is a slip.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Action, Rule, Skip, Subject};
use crate::wire::Inward;

/// Wider prefixes would block a continent; no list means that.
const IPV4_LEN_MIN: u8 = 8;
const IPV6_LEN_MIN: u8 = 16;

/// Reads a line, with a comment behind it or without.
pub(super) fn read(line: &str, rules: &mut Vec<Rule>) -> Result<(), Skip> {
    let said = line.split(['#', ';']).next().unwrap_or_default().trim_end();
    let net = said.parse::<IpNet>().or_else(|_| said.parse::<IpAddr>().map(IpNet::from));
    let net = net.map_err(|_| Skip::Malformed)?.trunc();
    let len_min = if net.addr().is_ipv4() { IPV4_LEN_MIN } else { IPV6_LEN_MIN };
    if net.prefix_len() < len_min {
        return Err(Skip::TooWide);
    }
    if Inward::of(net.addr()).is_some() {
        // Some lists have private networks too: those are the house's own.
        return Err(Skip::OwnNames);
    }
    rules.push(Rule { subject: Subject::Addresses(net), action: Action::Block, modifiers: None, line: 0 });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_address_or_a_prefix() {
        #[track_caller]
        fn check(line: &str, expected: Result<&str, Skip>) {
            let mut rules = Vec::new();
            let read = read(line, &mut rules).map(|()| match &rules.first().unwrap().subject {
                Subject::Addresses(net) => net.to_string(),
                other => panic!("{other:?}"),
            });
            assert_eq!(read, expected.map(str::to_owned), "{line}");
        }
        check("203.0.113.7", Ok("203.0.113.7/32"));
        check("203.0.113.7/24", Ok("203.0.113.0/24"));
        check("1.10.16.0/20 ; SBL256894", Ok("1.10.16.0/20"));
        check("2001:db8::/32 # documentation", Ok("2001:db8::/32"));
        check("0.0.0.0/0", Err(Skip::TooWide));
        check("2000::/3", Err(Skip::TooWide));
        check("192.168.0.0/16", Err(Skip::OwnNames));
        check("127.0.0.1", Err(Skip::OwnNames));
        check("tracker.example", Err(Skip::Malformed));
        check("203.0.113.7-203.0.113.9", Err(Skip::Malformed));
    }
}
