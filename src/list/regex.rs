//! Regular expressions as Pi-hole has them: bare, with options behind `;` (docs.pi-hole.net, "Regex blocking"), or `/…/`.

use std::net::IpAddr;

use super::pattern::Budget;
use super::record::address_record;
use super::{Action, Answer, Chosen, Modifiers, Rule, Skip, Subject, adblock};
use crate::wire::type_by_name;

/// Whether a line of a list of no declared syntax looks like one: signs that no name and no rule of a browser has.
pub(super) fn is_line(line: &str) -> bool {
    let is_regex = line.starts_with('^') && !line.ends_with('^') && 1 < line.len()
        || ["\\.", "(^|", "[[:", "[0-9]", "[a-z]"].iter().any(|sign| line.contains(sign));
    let expression = line.split(';').next().unwrap_or_default();
    // Refused later, for what it is.
    let looks_around = ["(?=", "(?!", "(?<"].iter().any(|sign| line.contains(sign));
    looks_around && !expression.contains(char::is_whitespace)
        || is_regex
            && !line.contains(['/', '"', '\'', '<', '>', '@', '&', '%'])
            && !expression.contains(char::is_whitespace)
            && !expression.contains("||")
            && !expression.contains('=')
}

/// Reads an expression with its options.
pub(super) fn read(line: &str, patterns: &mut Budget, rules: &mut Vec<Rule>) -> Result<(), Skip> {
    let line = line.find(" #").and_then(|comment| line.get(..comment)).unwrap_or(line).trim_end();
    if line.len() < 2 {
        return Err(Skip::Malformed);
    }
    let (expression, options) =
        line.split_once(';').map_or((line, None), |(regex, options)| (regex, Some(options)));
    let (expression, modifiers) = if adblock::is_regex(expression) {
        let (expression, modifiers) = adblock::split(expression);
        (expression, modifiers)
    } else {
        (expression, None)
    };
    let mut modifiers = match modifiers {
        Some(modifiers) => super::modifiers::read(modifiers, Action::Block)?,
        None => Modifiers::default(),
    };
    let is_inverted = read_options(options, &mut modifiers)?;
    let expression = expression
        .strip_prefix('/')
        .and_then(|expression| expression.strip_suffix('/'))
        .unwrap_or(expression);
    let shown = if is_inverted { format!("/{expression}/;invert") } else { format!("/{expression}/") };
    let pattern = patterns.compile(&shown, expression, is_inverted)?;
    adblock::refuse_too_wide(&pattern, &modifiers)?;
    let modifiers = (modifiers != Modifiers::default()).then(|| Box::new(modifiers));
    rules.push(Rule { subject: Subject::Pattern(pattern), action: Action::Block, modifiers, line: 0 });
    Ok(())
}

/// `;querytype=A,AAAA;invert;reply=NXDOMAIN`. Gives whether `invert` is among them.
fn read_options(options: Option<&str>, modifiers: &mut Modifiers) -> Result<bool, Skip> {
    let mut is_inverted = false;
    for option in options.into_iter().flat_map(|options| options.split(';')) {
        match option.trim().split_once('=') {
            None if option.trim() == "invert" => is_inverted = true,
            Some(("querytype", types)) => modifiers.qtypes = Some(qtypes(types)?),
            Some(("reply", reply)) => modifiers.answer = Some(answer(reply)?),
            _ => return Err(Skip::Modifier),
        }
    }
    Ok(is_inverted)
}

/// `A,AAAA`, or all but those of `!A`.
fn qtypes(text: &str) -> Result<Chosen<u16>, Skip> {
    let (is_except, text) = text.strip_prefix('!').map_or((false, text), |text| (true, text));
    let qtypes = text.split(',').map(|word| type_by_name(word.trim().trim_start_matches('!')));
    let mut qtypes = qtypes.collect::<Option<Vec<u16>>>().ok_or(Skip::Modifier)?;
    qtypes.sort_unstable();
    qtypes.dedup();
    Ok(if is_except { Chosen::Except(qtypes.into()) } else { Chosen::Only(qtypes.into()) })
}

/// `NXRRSET` is what RFC 2136 calls a name without records of a type: NODATA to a resolver.
fn answer(reply: &str) -> Result<Answer, Skip> {
    Ok(match reply {
        "NXDOMAIN" => Answer::NxDomain,
        "NODATA" | "NXRRSET" => Answer::NoData,
        "REFUSED" => Answer::Refused,
        "IP" => Answer::Null,
        "none" | "NONE" => Answer::Drop,
        // One address, or one of each family.
        _ => {
            let addresses = reply.split(',').map(|word| word.trim().parse::<IpAddr>());
            let addresses = addresses.collect::<Result<Vec<_>, _>>().map_err(|_| Skip::Modifier)?;
            let mut records: Vec<_> = addresses.into_iter().map(address_record).collect();
            records.sort();
            records.dedup();
            Answer::Records(records.into())
        }
    })
}
