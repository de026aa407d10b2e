//! The CSV of Kea's "memfile" backend for DHCPv4 and DHCPv6: a journal with a line of headings, whose commas within values
//! are written `&#x2c`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Lease, lease, mac_of_duid};

pub(super) fn parse(text: &str) -> Vec<Lease> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let Ok(headings) = reader.headers().cloned() else { return Vec::new() };
    let column = |heading: &str| headings.iter().position(|other| other == heading);
    let (address, hwaddr, duid) = (column("address"), column("hwaddr"), column("duid"));
    let (hostname, state) = (column("hostname"), column("state"));
    let mut leases = BTreeMap::new();
    for record in reader.records().flatten() {
        let value = |column: Option<usize>| record.get(column?).filter(|value| !value.is_empty());
        let Some(address) = value(address).and_then(|value| value.parse::<IpAddr>().ok()) else { continue };
        let mac = value(hwaddr).and_then(|value| value.parse().ok());
        let mac = mac.or_else(|| value(duid).and_then(mac_of_duid));
        // States other than 0 are leases that were declined or have ended.
        let is_valid = value(state).is_none_or(|state| state == "0");
        let name = value(hostname).filter(|_| is_valid).map(|name| name.replace("&#x2c", ","));
        leases.insert(address, name.and_then(|name| lease(mac, Some(address), &name)));
    }
    leases.into_values().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::check;

    #[test]
    fn leases_of_kea() {
        check(
            "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id\n\
             192.168.1.5,aa:bb:cc:dd:ee:01,01:aa:bb:cc:dd:ee:01,3600,1700000000,1,0,0,old,0,,0\n\
             192.168.1.5,aa:bb:cc:dd:ee:01,01:aa:bb:cc:dd:ee:01,3600,1700003600,1,0,0,annas-iphone.lan,0,,0\n\
             192.168.1.6,aa:bb:cc:dd:ee:02,,3600,1700000000,1,0,0,gone,2,,0\n\
             192.168.1.7,aa:bb:cc:dd:ee:03,,3600,1700000000,1,0,0,,0,,0\n",
            Format::Kea,
            &["aa:bb:cc:dd:ee:01 192.168.1.5 annas-iphone"],
        );
        check(
            "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state\n\
             fd00::5,00:03:00:01:aa:bb:cc:dd:ee:04,4000,1700000000,1,3000,0,7,128,0,0,laptop,,0\n",
            Format::Kea,
            &["aa:bb:cc:dd:ee:04 fd00::5 laptop"],
        );
    }
}
