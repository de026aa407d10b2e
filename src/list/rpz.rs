//! Response policy zones (draft-vixie-dnsop-dns-rpz-00, "DNS Response Policy Zones").
//!
//! An owner `name` covers that name only, `*.name` what is below it; owners below `rpz-ip` cover answers with an address.
//! Actions: `CNAME .` NXDOMAIN, `CNAME *.` NODATA, `rpz-passthru.` lets through, `rpz-drop.` answers nothing, another
//! target rewrites, and any other record is the answer itself. Owners and targets without a final dot are relative.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::record::{self, Words};
use super::{Action, Answer, Modifiers, Rule, Scope, Skip, Subject, hosts};
use crate::name::DomainName;

/// How many lines the parentheses of one record may hold: a SOA with a line for each of its numbers and some comments.
const PARENTHESES_LINES_MAX: u32 = 24;

/// What earlier lines of a zone mean to later ones.
#[derive(Debug, Default)]
pub(super) struct Zone {
    /// What names without a final dot are relative to, as text without that dot.
    origin: Option<String>,
    /// The zone's own name, which owners end in.
    apex: Option<String>,
    /// Whether [`Self::apex`] is the word of a SOA record.
    has_soa: bool,
    /// The owner of the last record, which lines that begin with a blank go on with.
    owner: String,
    /// How many lines an open parenthesis may go on for; 0 when none is open.
    open: u32,
}

impl Zone {
    /// Whether a record's parenthesis is open, so that the next line belongs to it.
    pub(super) const fn is_open(&self) -> bool {
        0 < self.open
    }

    pub(super) fn forget_owner(&mut self) {
        self.owner.clear();
    }

    /// Reads a line within parentheses. Only the SOA has them, which says nothing about names.
    pub(super) fn go_on(&mut self, line: &str) -> Result<(), Skip> {
        let line = line.split(';').next().unwrap_or_default();
        self.open = if line.contains(')') { 0 } else { self.open - 1 };
        Err(Skip::Setting)
    }

    /// Whether a line of a list of no declared syntax is one of a zone.
    pub(super) fn is_line(&self, line: &str, is_indented: bool) -> bool {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { return false };
        if is_directive(first) {
            return true;
        }
        let Some(second) = words.next() else { return false };
        if first.starts_with(['|', '/', '#']) || first.parse::<IpAddr>().is_ok() {
            return false;
        }
        let is_record = |words: &[&str]| record::rtype(words).is_some_and(|(_, data)| !data.is_empty());
        let rest: [&str; 3] = std::array::from_fn(|_| words.next().unwrap_or_default());
        let [third, fourth, fifth] = rest;
        let count = 2 + rest.iter().filter(|word| !word.is_empty()).count();
        let all = [first, second, third, fourth, fifth];
        let of = |start: usize| all.get(start..count).unwrap_or_default();
        is_record(of(1)) || is_indented && !self.owner.is_empty() && is_record(of(0))
    }

    /// Reads a line; `false` when there is nothing in it but a comment.
    pub(super) fn read(
        &mut self,
        line: &str,
        is_indented: bool,
        rules: &mut Vec<Rule>,
    ) -> Result<bool, Skip> {
        let words = Words::of(line)?;
        let words = words.as_slice();
        let Some((first, rest)) = words.split_first() else { return Ok(false) };
        if is_directive(first) {
            self.direct(first, rest.first())?;
            return Err(Skip::Setting);
        }
        let words = if is_indented {
            words
        } else {
            self.owner.clear();
            self.owner.push_str(first);
            rest
        };
        if self.owner.is_empty() {
            return Err(Skip::Malformed);
        }
        let (rtype, data) = record::rtype(words).ok_or(Skip::Malformed)?;
        if data.contains(&"(") && !data.contains(&")") {
            self.open = PARENTHESES_LINES_MAX;
        }
        if rtype == record::SOA {
            self.begin();
            return Err(Skip::Setting);
        }
        if rtype == record::NS || self.owner == "@" {
            return Err(Skip::Setting);
        }
        if self.is_open() || data.contains(&"(") {
            return Err(Skip::NotRead);
        }
        let owner = std::mem::take(&mut self.owner);
        let rule = self.rule(&owner, rtype, data);
        self.owner = owner;
        rules.push(rule?);
        Ok(true)
    }

    fn direct(&mut self, directive: &str, argument: Option<&&str>) -> Result<(), Skip> {
        if !directive.eq_ignore_ascii_case("$ORIGIN") {
            return Ok(());
        }
        let argument = argument.ok_or(Skip::Malformed)?;
        self.origin = Some(self.absolute(argument).to_ascii_lowercase());
        if !self.has_soa {
            self.apex.clone_from(&self.origin);
        }
        Ok(())
    }

    /// The SOA tells the zone's name.
    fn begin(&mut self) {
        let apex = match self.owner.as_str() {
            "@" => self.origin.clone(),
            owner if owner.ends_with('.') || self.origin.is_some() => {
                Some(self.absolute(owner).to_ascii_lowercase())
            }
            _ => None,
        };
        if self.origin.is_none() {
            self.origin.clone_from(&apex);
        }
        (self.apex, self.has_soa) = (apex, true);
    }

    /// A name without its final dot, with the origin behind it when it had none.
    fn absolute(&self, name: &str) -> String {
        match (name, name.strip_suffix('.'), &self.origin) {
            ("@", _, origin) => origin.clone().unwrap_or_default(),
            (_, Some(name), _) => name.to_owned(),
            (_, None, Some(origin)) if !origin.is_empty() => format!("{name}.{origin}"),
            _ => name.to_owned(),
        }
    }

    /// An owner within the zone: what its trigger speaks of.
    fn trigger<'o>(&self, owner: &'o str) -> Result<std::borrow::Cow<'o, str>, Skip> {
        if !owner.ends_with('.') && self.origin == self.apex {
            return Ok(owner.into());
        }
        let absolute = self.absolute(owner).to_ascii_lowercase();
        match self.apex.as_deref() {
            None | Some("") => Ok(absolute.into()),
            Some(apex) => {
                let inner = absolute.strip_suffix(apex).and_then(|inner| inner.strip_suffix('.'));
                Ok(inner.ok_or(Skip::OutOfZone)?.to_owned().into())
            }
        }
    }

    fn rule(&self, owner: &str, rtype: u16, data: &[&str]) -> Result<Rule, Skip> {
        let trigger = self.trigger(owner)?;
        let subject = subject(&trigger)?;
        let (action, answer) = self.action(&trigger, rtype, data)?;
        let with = |answer| Box::new(Modifiers { answer: Some(answer), ..Modifiers::default() });
        Ok(Rule { subject, action, modifiers: answer.map(with), line: 0 })
    }

    fn action(&self, trigger: &str, rtype: u16, data: &[&str]) -> Result<(Action, Option<Answer>), Skip> {
        let block = |answer| Ok((Action::Block, Some(answer)));
        if let (record::CNAME, [target]) = (rtype, data) {
            // The special names are absolute; lists forget the final dot.
            match target.strip_suffix('.').unwrap_or(target).to_ascii_lowercase().as_str() {
                "" => return block(Answer::NxDomain),
                "*" => return block(Answer::NoData),
                "rpz-passthru" => return Ok((Action::Allow, None)),
                "rpz-drop" => return block(Answer::Drop),
                "rpz-tcp-only" => return Err(Skip::NotApplied),
                // The way to say `rpz-passthru.` before there was one: a name is its own alias.
                itself if itself.eq_ignore_ascii_case(trigger) => return Ok((Action::Allow, None)),
                _ => {}
            }
        }
        if matches!(rtype, 43 | 46 | 47 | 48 | 50 | 51) {
            // The zone's own signatures.
            return Err(Skip::Setting);
        }
        let absolute = |name: &str| DomainName::parse(&self.absolute(name)).map_err(Skip::Name);
        Ok((Action::Block, record::answer(rtype, data, &absolute)?))
    }
}

fn is_directive(word: &str) -> bool {
    ["$TTL", "$ORIGIN", "$INCLUDE", "$GENERATE"].iter().any(|directive| directive.eq_ignore_ascii_case(word))
}

/// What an owner covers, below the zone's name.
fn subject(trigger: &str) -> Result<Subject, Skip> {
    let ends = |with: &str| {
        let start = trigger.len().checked_sub(with.len());
        start.and_then(|start| trigger.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(with))
    };
    if ends(".rpz-ip") {
        let prefix = trigger.get(..trigger.len() - ".rpz-ip".len()).and_then(prefix);
        return prefix.map(Subject::Addresses).ok_or(Skip::Prefix);
    }
    if [".rpz-client-ip", ".rpz-nsip", ".rpz-nsdname"].into_iter().any(ends) {
        return Err(Skip::NotApplied);
    }
    match trigger.strip_prefix("*.") {
        Some(name) => Ok(Subject::Name { name: hosts::name(name, Scope::Below)?, scope: Scope::Below }),
        None => Ok(Subject::Name { name: hosts::name(trigger, Scope::Exact)?, scope: Scope::Exact }),
    }
}

/// `24.0.2.0.192` or `48.zz.db8.2001`: the prefix's length, then the address backwards, `zz` for `::`.
fn prefix(text: &str) -> Option<IpNet> {
    let (length, address) = text.split_once('.')?;
    let length = length.parse().ok()?;
    let mut labels: Vec<&str> = address.split('.').collect();
    labels.reverse();
    let is_v4 = labels.len() == 4 && labels.iter().all(|label| label.parse::<u8>().is_ok());
    let address = if is_v4 {
        IpAddr::V4(labels.join(".").parse::<Ipv4Addr>().ok()?)
    } else {
        let text = labels.join(":").to_ascii_lowercase();
        let text = match text.as_str() {
            "zz" => "::".to_owned(),
            _ => match (text.strip_prefix("zz:"), text.strip_suffix(":zz")) {
                (Some(rest), _) => format!("::{rest}"),
                (None, Some(rest)) => format!("{rest}::"),
                (None, None) => text.replace(":zz:", "::"),
            },
        };
        IpAddr::V6(text.parse::<Ipv6Addr>().ok()?)
    };
    let net = IpNet::new(address, length).ok()?;
    // Everything there is, or bits beyond the length: no one means it.
    (0 < length && net.trunc() == net).then_some(net)
}
