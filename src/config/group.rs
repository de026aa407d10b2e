//! What stands under `[[groups]]`: devices for which something else holds.

use std::net::SocketAddr;
use std::sync::Arc;

use super::read::not_empty;
use super::reader::{Section, Value};
use super::upstream::{read_servers, read_strategy};
use crate::device::{DeviceGroup, DeviceKey, Member, tidy_name};
use crate::resolve::{GroupOptions, ResolveOptions};

/// Each group has upstreams and connections of its own.
const GROUPS_MAX: usize = 32;
const MEMBER_EXPECTED: &str =
    "a MAC address, an IP address, a prefix such as `192.168.20.0/24`, or the name of a device";

pub(super) fn read_group(
    mut section: Section<'_>,
    listen: &[SocketAddr],
    groups: &mut Vec<Arc<DeviceGroup>>,
    resolve: &mut ResolveOptions,
) {
    let (name, devices) = (section.get("name"), section.get("devices"));
    let mut upstream = section.section("upstream");
    let (servers, strategy) = (upstream.get("servers"), upstream.get("strategy"));
    if !section.exists() {
        return;
    }
    let (Some(name), Some(devices), Some(servers)) = (name, devices, servers) else {
        section.complain(
            "expected `name`, `devices` and `upstream.servers`: what the group is called, who is in it, and who is asked for them",
        );
        return;
    };
    if groups.len() == GROUPS_MAX {
        section.complain(format!("there may be {GROUPS_MAX} groups; put some together"));
    }
    not_empty(&devices, MEMBER_EXPECTED);
    not_empty(&servers, "an upstream; for these devices nothing would resolve");
    let name = name.parse("a name such as `kids`", read_name);
    let members = read_members(&devices, groups);
    let strategy = strategy.and_then(|value| read_strategy(&value)).unwrap_or(resolve.strategy);
    let servers = read_servers(&servers, listen);
    let Some(name) = name else { return };
    let options = GroupOptions { name: Arc::clone(&name), servers, strategy };
    let number = options.set().0;
    if groups.iter().any(|other| other.number == number) {
        // Nobody will ever see this but for a name that stands there twice.
        section.complain(format!("a group is called `{name}` or much alike already; choose another name"));
        return;
    }
    groups.push(Arc::new(DeviceGroup { name, number, members }));
    resolve.groups.push(options);
}

fn read_name(text: &str) -> Result<Arc<str>, String> {
    let name = tidy_name(text).filter(|name| name == text);
    name.map(Arc::from).ok_or_else(|| {
        format!("`{}` can't be a group's name; write a short word such as `kids`", text.escape_debug())
    })
}

fn read_members(devices: &Value<'_>, groups: &[Arc<DeviceGroup>]) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for element in devices.elements() {
        let Some(member) = element.parse(MEMBER_EXPECTED, read_member) else { continue };
        let other = groups.iter().find(|group| group.members.contains(&member));
        if let Some(other) = other {
            element.complain(format!("this is in the group `{}` already; a device is in one", other.name));
        } else if members.contains(&member) {
            element.complain("this stands here already");
        } else {
            members.push(member);
        }
    }
    members
}

fn read_member(text: &str) -> Result<Member, String> {
    if let Ok(key) = text.parse::<DeviceKey>() {
        return Ok(Member::Key(key));
    }
    if let Ok(network) = text.parse::<ipnet::IpNet>() {
        return Ok(Member::Network(network.trunc()));
    }
    // A slip of the pen in an address is no name.
    let looks_like_an_address =
        text.contains(['/', ':']) || text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('.');
    if looks_like_an_address {
        return Err(format!("`{text}` is neither an address nor a prefix; expected {MEMBER_EXPECTED}"));
    }
    let name = tidy_name(text).ok_or_else(|| format!("expected {MEMBER_EXPECTED}"))?;
    Ok(Member::Name(name.into()))
}
