//! Modifiers as they stand in the file, and whether they let a rule apply.

use std::net::IpAddr;

use ipnet::IpNet;

use super::bytes::{Reader, put_prefixed, put_varint};
use super::{Asked, KnownBy};
use crate::list::{Answer, Chosen, Client, Modifiers, Picked, Record};
use crate::name::DomainName;

/// Whether a rule with these modifiers applies to what is asked.
pub(super) fn apply(modifiers: &Modifiers, asked: &Asked<'_>) -> bool {
    let qtype = match &modifiers.qtypes {
        None => true,
        Some(Chosen::Only(qtypes)) => qtypes.contains(&asked.qtype),
        Some(Chosen::Except(qtypes)) => !qtypes.contains(&asked.qtype),
    };
    let is_client = |client: &Client| match client {
        Client::Name(name) => **name == *asked.client.name,
        Client::Address(net) => {
            // A device that is known by one of its addresses is meant whichever it asks from.
            let known_by = match asked.client.known_by {
                Some(KnownBy::Address(address)) => {
                    net.prefix_len() == net.max_prefix_len() && net.addr() == address
                }
                Some(KnownBy::Mac(_)) | None => false,
            };
            known_by || asked.client.address.is_some_and(|address| net.contains(&address))
        }
        Client::Mac(mac) => asked.client.known_by == Some(KnownBy::Mac(*mac)),
    };
    qtype
        && !modifiers.except.iter().any(|name| asked.name.is_within(name.as_ref()))
        && modifiers.clients.as_ref().is_none_or(|clients| picks(clients, is_client))
        && modifiers.tags.as_ref().is_none_or(|tags| picks(tags, |tag| asked.client.tags.contains(tag)))
}

fn picks<T>(picked: &Picked<T>, is: impl Fn(&T) -> bool) -> bool {
    (picked.only.is_empty() || picked.only.iter().any(&is)) && !picked.except.iter().any(&is)
}

/// Writes modifiers for [`read()`]. Equal modifiers are written alike.
pub(super) fn write(modifiers: &Modifiers, out: &mut Vec<u8>) {
    let Modifiers { important, badfilter, except, qtypes, clients, tags, answer } = modifiers;
    out.push(u8::from(*important) | u8::from(*badfilter) << 1);
    put_all(out, except, |out, name| out.extend_from_slice(name.as_ref().as_wire()));
    match qtypes {
        None => out.push(0),
        Some(Chosen::Only(qtypes)) => {
            out.push(1);
            put_all(out, qtypes, |out, qtype| out.extend_from_slice(&qtype.to_le_bytes()));
        }
        Some(Chosen::Except(qtypes)) => {
            out.push(2);
            put_all(out, qtypes, |out, qtype| out.extend_from_slice(&qtype.to_le_bytes()));
        }
    }
    put_picked(out, clients.as_ref(), |out, client| match client {
        Client::Name(name) => {
            out.push(0);
            put_prefixed(out, name.as_bytes());
        }
        Client::Address(net) => {
            out.push(1);
            put_net(out, *net);
        }
        Client::Mac(mac) => {
            out.push(2);
            out.extend_from_slice(mac);
        }
    });
    put_picked(out, tags.as_ref(), |out, tag| put_prefixed(out, tag.as_bytes()));
    match answer {
        None => out.push(0),
        Some(Answer::Null) => out.push(1),
        Some(Answer::NxDomain) => out.push(2),
        Some(Answer::NoData) => out.push(3),
        Some(Answer::Refused) => out.push(4),
        Some(Answer::Drop) => out.push(5),
        Some(Answer::Cname { target, prefixed }) => {
            out.push(6 + u8::from(*prefixed));
            out.extend_from_slice(target.as_ref().as_wire());
        }
        Some(Answer::Records(records)) => {
            out.push(8);
            put_all(out, records, |out, record| {
                out.extend_from_slice(&record.rtype.to_le_bytes());
                put_prefixed(out, &record.rdata);
            });
        }
    }
}

/// Reads what [`write()`] wrote; `None` for anything else.
pub(super) fn read(octets: &[u8]) -> Option<Modifiers> {
    let mut reader = Reader(octets);
    let flags = reader.u8().filter(|flags| *flags < 4)?;
    let except = read_all(&mut reader, read_name)?;
    let qtypes = match reader.u8()? {
        0 => None,
        1 => Some(Chosen::Only(read_all(&mut reader, Reader::u16)?)),
        2 => Some(Chosen::Except(read_all(&mut reader, Reader::u16)?)),
        _ => return None,
    };
    let clients = read_picked(&mut reader, |reader| {
        Some(match reader.u8()? {
            0 => Client::Name(reader.text()?.into()),
            1 => Client::Address(read_net(reader)?),
            2 => Client::Mac(reader.array()?),
            _ => return None,
        })
    })?;
    let tags = read_picked(&mut reader, |reader| reader.text().map(Into::into))?;
    let answer = match reader.u8()? {
        0 => None,
        1 => Some(Answer::Null),
        2 => Some(Answer::NxDomain),
        3 => Some(Answer::NoData),
        4 => Some(Answer::Refused),
        5 => Some(Answer::Drop),
        kind @ (6 | 7) => Some(Answer::Cname { target: read_name(&mut reader)?, prefixed: kind == 7 }),
        8 => Some(Answer::Records(read_all(&mut reader, |reader| {
            Some(Record { rtype: reader.u16()?, rdata: reader.prefixed()?.into() })
        })?)),
        _ => return None,
    };
    let modifiers = Modifiers {
        important: flags & 1 != 0,
        badfilter: flags & 2 != 0,
        except,
        qtypes,
        clients,
        tags,
        answer,
    };
    reader.0.is_empty().then_some(modifiers)
}

fn put_all<T>(out: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    put_varint(out, u32::try_from(items.len()).unwrap_or(u32::MAX));
    items.iter().for_each(|item| put(out, item));
}

fn read_all<'a, T>(reader: &mut Reader<'a>, read: impl Fn(&mut Reader<'a>) -> Option<T>) -> Option<Box<[T]>> {
    let count = reader.varint()?;
    (0..count).map(|_| read(reader)).collect()
}

fn put_picked<T>(out: &mut Vec<u8>, picked: Option<&Picked<T>>, put: impl Fn(&mut Vec<u8>, &T)) {
    out.push(u8::from(picked.is_some()));
    if let Some(Picked { only, except }) = picked {
        put_all(out, only, &put);
        put_all(out, except, &put);
    }
}

fn read_picked<'a, T>(
    reader: &mut Reader<'a>,
    read: impl Fn(&mut Reader<'a>) -> Option<T>,
) -> Option<Option<Picked<T>>> {
    Some(match reader.u8()? {
        0 => None,
        1 => Some(Picked { only: read_all(reader, &read)?, except: read_all(reader, &read)? }),
        _ => return None,
    })
}

fn read_name(reader: &mut Reader<'_>) -> Option<DomainName> {
    let name = DomainName::from_wire(reader.0).ok()?;
    reader.take(name.as_ref().as_wire().len())?;
    Some(name)
}

/// Writes an address prefix: its length (IPv6 from 128 on) and its address.
pub(super) fn put_net(out: &mut Vec<u8>, net: IpNet) {
    match net.addr() {
        IpAddr::V4(address) => {
            out.push(net.prefix_len());
            out.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            out.push(net.prefix_len() + 64);
            out.extend_from_slice(&address.octets());
        }
    }
}

/// Reads what [`put_net`] wrote.
pub(super) fn read_net(reader: &mut Reader<'_>) -> Option<IpNet> {
    let length = reader.u8()?;
    match length {
        0..=32 => IpNet::new(IpAddr::from(reader.array::<4>()?), length).ok(),
        64..=192 => IpNet::new(IpAddr::from(reader.array::<16>()?), length - 64).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let name = |text| DomainName::parse(text).unwrap();
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let client = |text: &str| Client::Name(text.into());
        let answers = [
            None,
            Some(Answer::Null),
            Some(Answer::NxDomain),
            Some(Answer::NoData),
            Some(Answer::Refused),
            Some(Answer::Drop),
            Some(Answer::Cname { target: name("safe.example"), prefixed: false }),
            Some(Answer::Cname { target: name("garden.example"), prefixed: true }),
            Some(Answer::Records([Record { rtype: 1, rdata: [192, 0, 2, 1].into() }].into())),
        ];
        for answer in answers {
            let modifiers = Modifiers {
                important: true,
                badfilter: false,
                except: [name("a.example")].into(),
                qtypes: Some(Chosen::Except([1, 28].into())),
                clients: Some(Picked {
                    only: [client("tv"), Client::Address(net("2001:db8::/32"))].into(),
                    except: [Client::Address(net("192.0.2.0/24")), Client::Mac([2, 0, 0, 0, 0, 7])].into(),
                }),
                tags: Some(Picked { only: ["device_tv".into()].into(), except: [].into() }),
                answer,
            };
            let mut octets = Vec::new();
            write(&modifiers, &mut octets);
            assert_eq!(read(&octets).as_ref(), Some(&modifiers));
            for end in 0..octets.len() {
                assert!(read(&octets[..end]).is_none());
            }
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(octets: Vec<u8>) {
            read(&octets);
        }
    }
}
