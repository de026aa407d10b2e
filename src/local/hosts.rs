//! Hosts files (hosts(5)): an address, and the names that it has.
//!
//! Reading never fails: what is wrong in a line is told with its number, and the other lines hold.

use std::fmt;
use std::net::IpAddr;

use crate::name::DomainName;

/// The largest file that is read, in octets; what comes behind is left out.
pub const SIZE_MAX: usize = 16 << 20;
/// More names than a house has; a list of names to block belongs into `[[lists]]`.
const NAMES_MAX: usize = 100_000;
/// So many mistakes are told of; a file of another kind has one in each line.
const PROBLEMS_MAX: usize = 20;

/// What a hosts file says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HostsFile {
    /// Its lines that name an address.
    pub lines: Vec<HostsLine>,
    /// The first mistakes.
    pub problems: Vec<HostsProblem>,
    /// How many mistakes there are.
    pub mistakes: usize,
}

/// A line that names an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostsLine {
    /// Which one, from 1 on.
    pub line: u32,
    /// The address.
    pub address: IpAddr,
    /// Its names; the first one is the official one.
    pub names: Vec<DomainName>,
}

/// What is wrong in a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostsProblem {
    /// Which one, from 1 on.
    pub line: u32,
    /// The word that is wrong, cut short.
    pub word: String,
    /// What is wrong with it, and what to do.
    pub why: String,
}

impl fmt::Display for HostsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: `{}`: {}", self.line, self.word, self.why)
    }
}

/// Reads a hosts file.
pub fn read_hosts(text: &[u8]) -> HostsFile {
    let mut file = HostsFile::default();
    let mut names = 0;
    let text = text.get(..SIZE_MAX).unwrap_or(text);
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for (number, line) in (1..).zip(text.split(|octet| *octet == b'\n')) {
        let line = String::from_utf8_lossy(line);
        let said = line.split('#').next().unwrap_or_default();
        let mut words = said.split_whitespace();
        let Some(first) = words.next() else { continue };
        let (text, zone) = first.split_once('%').map_or((first, None), |(text, zone)| (text, Some(zone)));
        let Ok(address) = text.parse::<IpAddr>() else {
            file.complain(number, first, "is no address; begin the line with one, or with `#`");
            continue;
        };
        if zone.is_some() {
            // Which network card it is behind is this machine's own matter.
            continue;
        }
        let mut line = HostsLine { line: number, address, names: Vec::new() };
        for word in words {
            match DomainName::parse(word) {
                Ok(name) if is_own(&name, address) => {}
                Ok(_) if NAMES_MAX <= names => {
                    file.complain(number, word, "is one name too many; to block names, use [[lists]]");
                }
                Ok(name) => {
                    names += 1;
                    line.names.push(name);
                }
                Err(error) => file.complain(number, word, &format!("is no name ({error})")),
            }
        }
        if !line.names.is_empty() {
            file.lines.push(line);
        }
    }
    file
}

impl HostsFile {
    fn complain(&mut self, line: u32, word: &str, why: &str) {
        const WORD_LEN_MAX: usize = 60;
        self.mistakes += 1;
        if self.problems.len() < PROBLEMS_MAX {
            let word = word.chars().filter(|c| !c.is_control()).take(WORD_LEN_MAX).collect();
            self.problems.push(HostsProblem { line, word, why: why.to_owned() });
        }
    }
}

/// What a machine calls itself is nothing that others should be told: `127.0.0.1 localhost`, `127.0.1.1 raspberrypi`,
/// `ff02::1 ip6-allnodes`.
fn is_own(name: &DomainName, address: IpAddr) -> bool {
    let is_bare = name.as_ref().label_count() == 1;
    let is_localhost = name.as_ref().labels().last() == Some(b"localhost");
    is_localhost
        || (is_bare || is_localdomain(name))
            && (address.is_loopback() || address.is_multicast() || is_ip6_word(name))
}

fn is_localdomain(name: &DomainName) -> bool {
    name.as_ref().labels().last() == Some(b"localdomain")
}

/// `fe00::0 ip6-localnet` and its kind, as Debian has them.
fn is_ip6_word(name: &DomainName) -> bool {
    name.as_ref().labels().next().is_some_and(|label| label.starts_with(b"ip6-"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, lines: &[&str], problems: &[&str]) {
        let file = read_hosts(text.as_bytes());
        let said = |line: &HostsLine| {
            let names: Vec<String> = line.names.iter().map(ToString::to_string).collect();
            format!("{} {} {}", line.line, line.address, names.join(" "))
        };
        assert_eq!(file.lines.iter().map(said).collect::<Vec<_>>(), lines, "{text:?}");
        let told: Vec<String> = file.problems.iter().map(ToString::to_string).collect();
        assert_eq!(told, problems, "{text:?}");
        assert_eq!(file.mistakes, problems.len());
    }

    #[test]
    fn a_hosts_file_is_read_line_by_line() {
        check("192.168.1.5 nas nas.home.arpa # the box\n", &["1 192.168.1.5 nas nas.home.arpa"], &[]);
        check("\u{feff}fd00::5\tNAS\n\n#x\n10.0.0.1 tv", &["1 fd00::5 nas", "4 10.0.0.1 tv"], &[]);
        check("0.0.0.0 ads.example", &["1 0.0.0.0 ads.example"], &[]);
        check("192.168.1.5\n", &[], &[]);
    }

    #[test]
    fn what_a_machine_calls_itself_is_left_out() {
        check(
            "127.0.0.1 localhost localhost.localdomain\n::1 ip6-localhost ip6-loopback localhost\n127.0.1.1 raspberrypi\n\
             ff02::1 ip6-allnodes\nfe00::0 ip6-localnet\nfe80::1%lo0 localhost\n127.0.0.1 ads.example",
            &["7 127.0.0.1 ads.example"],
            &[],
        );
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        check(
            "192.168.1.5 na$s tv\nnas 192.168.1.5\n",
            &["1 192.168.1.5 tv"],
            &[
                "line 1: `na$s`: is no name (`$` does not belong into a domain name)",
                "line 2: `nas`: is no address; begin the line with one, or with `#`",
            ],
        );
    }

    #[test]
    fn a_file_of_another_kind_is_not_told_line_by_line() {
        let file = read_hosts("<p>\n".repeat(1000).as_bytes());
        assert_eq!((file.problems.len(), file.mistakes), (PROBLEMS_MAX, 1000));
    }

    proptest! {
        #[test]
        fn reading_never_panics(text: Vec<u8>) {
            read_hosts(&text);
        }
    }
}
