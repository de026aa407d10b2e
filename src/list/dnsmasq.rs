//! dnsmasq's options that name domains (dnsmasq(8), `--address`, `--server`, `--local`).
//!
//! A domain covers the name and everything below it, and `.name` means the same for old times' sake; `*name` covers every
//! name that ends so, and `*.name` what is below it. Without an address they say that the name does not exist, `#` and
//! `0.0.0.0` give it no address: all of that is a block, and the household says how blocks are answered.

use std::net::IpAddr;

use super::pattern::Budget;
use super::record::address_record;
use super::{Action, Answer, Modifiers, Rule, Scope, Skip, Subject, adblock, hosts};

/// Options that lists have beside, about names that stay as they are.
const OTHER_OPTIONS: &[&str] =
    &["ipset=/", "nftset=/", "rebind-domain-ok=", "bogus-nxdomain=", "conf-file=", "server="];

pub(super) fn is_line(line: &str) -> bool {
    ["address=/", "server=/", "local=/"].iter().any(|start| line.starts_with(start))
        || OTHER_OPTIONS.iter().any(|start| line.starts_with(start))
}

pub(super) fn read(line: &str, patterns: &mut Budget, rules: &mut Vec<Rule>) -> Result<(), Skip> {
    let comment = line.find(" #").or_else(|| line.find("\t#")).unwrap_or(line.len());
    let line = line.get(..comment).unwrap_or(line).trim_end();
    let (option, value) = line.split_once('=').ok_or(Skip::Setting)?;
    let option = option.trim().trim_start_matches("--");
    let Some(domains) =
        value.trim().strip_prefix('/').filter(|_| matches!(option, "address" | "server" | "local"))
    else {
        return Err(Skip::Setting);
    };
    let (domains, target) = domains.rsplit_once('/').ok_or(Skip::Malformed)?;
    let (action, answer) = match (option, target) {
        (_, "") | ("address", "#") => (Action::Block, None),
        ("address", address) => {
            let address: IpAddr = address.parse().map_err(|_| Skip::Malformed)?;
            let records = || Answer::Records([address_record(address)].into());
            (Action::Block, (!hosts::is_sinkhole(address)).then(records))
        }
        // "Use the standard servers": what a rule for a name above would else take away.
        (_, "#") => (Action::Allow, None),
        _ => return Err(Skip::Forwarding),
    };
    let mut refused = None;
    for domain in domains.split('/') {
        match subject(domain, patterns) {
            Ok(subject) => {
                let with = |answer| Box::new(Modifiers { answer: Some(answer), ..Modifiers::default() });
                rules.push(Rule { subject, action, modifiers: answer.clone().map(with), line: 0 });
            }
            Err(skip) => refused = Some(skip),
        }
    }
    match refused {
        Some(skip) if rules.is_empty() => Err(skip),
        _ => Ok(()),
    }
}

fn subject(domain: &str, patterns: &mut Budget) -> Result<Subject, Skip> {
    match domain {
        "#" | "*" => return Err(Skip::TooWide),
        // Names of one label, whichever they are.
        "" => return Err(Skip::NotRead),
        _ => {}
    }
    if domain.starts_with('*') {
        return adblock::subject(&format!("{domain}^"), patterns);
    }
    let name = hosts::name(domain.strip_prefix('.').unwrap_or(domain), Scope::Subtree)?;
    Ok(Subject::Name { name, scope: Scope::Subtree })
}
