//! What an answer may not say, whoever the name belongs to.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::name::{DomainName, NameRef};
use crate::wire::{Inward, Stored};

/// What is checked of every answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AnswerChecks {
    /// No address of the house comes from a public name (DNS rebinding).
    pub rebinding: bool,
    /// It may from these names, and those below them.
    pub rebinding_allow: Vec<DomainName>,
    /// Addresses that a provider's resolver gives for names that do not exist.
    pub bogus_nxdomain: Vec<IpNet>,
}

impl Default for AnswerChecks {
    fn default() -> Self {
        Self { rebinding: true, rebinding_allow: Vec::new(), bogus_nxdomain: Vec::new() }
    }
}

/// Why an answer is not passed on. Its `Display` fits where a rule stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Objection {
    /// It leads to this address of the house.
    Rebinding(IpAddr),
    /// It leads nowhere: the upstream blocks the name.
    Nowhere,
    /// It has an address that stands for a name that does not exist.
    Bogus(IpAddr),
}

impl AnswerChecks {
    /// What is wrong with the answer to a question about `name`. Costs next to nothing where nothing is.
    pub fn check(&self, name: NameRef<'_>, answer: &Stored) -> Option<Objection> {
        if !self.bogus_nxdomain.is_empty() {
            let is_bogus = |address: &IpAddr| self.bogus_nxdomain.iter().any(|bogus| bogus.contains(address));
            if let Some(address) = answer.addresses().find(is_bogus) {
                return Some(Objection::Bogus(address));
            }
        }
        let inward = answer.inward().filter(|_| self.rebinding)?;
        if self.rebinding_allow.iter().any(|allowed| name.is_within(allowed.as_ref())) {
            return None;
        }
        match inward {
            Inward::Nowhere => Some(Objection::Nowhere),
            Inward::House => answer
                .addresses()
                .find(|address| Inward::of(*address) == Some(Inward::House))
                .map(Objection::Rebinding),
        }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rebinding(address) => {
                write!(f, "it leads into your network, to {address}; see answers.rebinding_allow")
            }
            Self::Nowhere => f.write_str("the upstream blocks it (0.0.0.0 or ::)"),
            Self::Bogus(address) => write!(f, "{address} stands for no such name (answers.bogus_nxdomain)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Stored;

    /// An answer to `www.example` with these addresses; `https`: as the hints of one HTTPS record.
    fn answer(addresses: &[&str], https: bool) -> Stored {
        let name = DomainName::parse("www.example").unwrap();
        let question = [name.as_ref().as_wire(), &[0, if https { 65 } else { 1 }, 0, 1]].concat();
        let count = u8::try_from(if https { 1 } else { addresses.len() }).unwrap();
        let mut message = [&[0, 0, 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0][..], &question].concat();
        let mut record = |rtype: u8, rdata: &[u8]| {
            let length = u8::try_from(rdata.len()).unwrap();
            message.extend([0xc0, 12, 0, rtype, 0, 1, 0, 0, 0, 60, 0, length]);
            message.extend(rdata);
        };
        let mut hints = vec![0, 1, 0];
        for address in addresses {
            match address.parse().unwrap() {
                IpAddr::V4(address) if https => hints.extend([&[0, 4, 0, 4][..], &address.octets()].concat()),
                IpAddr::V6(address) if https => {
                    hints.extend([&[0, 6, 0, 16][..], &address.octets()].concat());
                }
                IpAddr::V4(address) => record(1, &address.octets()),
                IpAddr::V6(address) => record(28, &address.octets()),
            }
        }
        if https {
            record(65, &hints);
        }
        Stored::new(message, 0).unwrap()
    }

    #[test]
    fn an_answer_that_leads_into_the_house_is_told() {
        let allow = |names: &[&str]| AnswerChecks {
            rebinding_allow: names.iter().map(|name| DomainName::parse(name).unwrap()).collect(),
            bogus_nxdomain: vec!["203.0.113.0/24".parse().unwrap()],
            ..AnswerChecks::default()
        };
        #[track_caller]
        fn check(checks: &AnswerChecks, addresses: &[&str], expected: &str) {
            let name = DomainName::parse("www.example").unwrap();
            for https in [false, true] {
                let said = checks.check(name.as_ref(), &answer(addresses, https));
                assert_eq!(said.map_or(String::new(), |objection| format!("{objection:?}")), expected);
            }
        }
        let strict = allow(&[]);
        check(&strict, &["198.51.100.1"], "");
        check(&strict, &["198.51.100.1", "192.168.1.1"], "Rebinding(192.168.1.1)");
        check(&strict, &["0.0.0.0", "fd00::1"], "Rebinding(fd00::1)");
        check(&strict, &["198.51.100.1", "0.0.0.0"], "Nowhere");
        check(&strict, &["203.0.113.9", "192.168.1.1"], "Bogus(203.0.113.9)");
        check(&allow(&["other.example"]), &["192.168.1.1"], "Rebinding(192.168.1.1)");
        check(&allow(&["example"]), &["192.168.1.1"], "");
        let off = AnswerChecks { rebinding: false, ..AnswerChecks::default() };
        check(&off, &["192.168.1.1"], "");
    }
}
