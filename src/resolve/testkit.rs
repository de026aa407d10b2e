//! What the tests of this module share.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType, rdata};
use jiff::Timestamp;

use super::{Question, UpstreamAddress, UpstreamOptions, UpstreamSet};
use crate::clock::Clock;
use crate::name::DomainName;
use crate::wire::{CLASS_IN, Stored, qtype};

/// A port that nobody answers at, whichever else is opened meanwhile: a socket that hears one peer only refuses all others.
pub(super) fn closed_port() -> (SocketAddr, UdpSocket) {
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    holder.connect("127.0.0.1:9").unwrap();
    (holder.local_addr().unwrap(), holder)
}

/// A clock that stands still until it is moved.
pub(super) struct ManualClock {
    began: Instant,
    passed: Mutex<Duration>,
}

impl ManualClock {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), passed: Mutex::default() }
    }

    pub(super) fn pass(&self, time: Duration) {
        *self.passed.lock().unwrap() += time;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + *self.passed.lock().unwrap()
    }

    fn instant(&self) -> Instant {
        self.began + *self.passed.lock().unwrap()
    }
}

/// An upstream over plain UDP.
pub(super) fn udp(address: SocketAddr) -> UpstreamOptions {
    UpstreamAddress::udp(address.ip(), address.port()).into()
}

pub(super) fn question(name: &str) -> Question {
    let name = DomainName::parse(name).unwrap();
    Question {
        name,
        qtype: qtype::A,
        qclass: CLASS_IN,
        dnssec_ok: false,
        checking_disabled: false,
        set: UpstreamSet::EVERYBODY,
    }
}

/// An answer with one address.
pub(super) fn answer(question: &Question, ttl: u32) -> Stored {
    let name = Name::from_ascii(format!("{}.", question.name)).unwrap();
    let mut message = Message::response(0, OpCode::Query);
    message.add_query(Query::query(name.clone(), RecordType::A));
    message.add_answer(Record::from_rdata(name, ttl, RData::A(rdata::A::new(198, 51, 100, 1))));
    Stored::new(message.to_vec().unwrap(), 0).unwrap()
}

/// An answer that there is no such name.
pub(super) fn nxdomain(question: &Question, ttl: u32) -> Stored {
    let name = Name::from_ascii(format!("{}.", question.name)).unwrap();
    let mut message = Message::response(0, OpCode::Query);
    message.metadata.response_code = ResponseCode::NXDomain;
    message.add_query(Query::query(name, RecordType::A));
    let root = Name::root();
    let soa = rdata::SOA::new(root.clone(), root.clone(), 1, 1, 1, 1, ttl);
    message.add_authority(Record::from_rdata(root, ttl, RData::SOA(soa)));
    Stored::new(message.to_vec().unwrap(), 3).unwrap()
}
