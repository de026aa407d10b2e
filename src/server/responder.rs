//! The one function that decides about a query.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use ipnet::IpNet;

use super::access::{Access, Limits};
use crate::clock::Clock;
use crate::device::LiveDevices;
use crate::event::{Answered, EventSink, QueryEvent};
use crate::policy::{Blocking, LivePolicy, RuleRef, SinkholeMode, Verdict};
use crate::resolve::{Origin, Question, Resolver, UnresolvedKind};
use crate::wire::{self, CLASS_IN, Ede, Malformed, Query, Rcode, Served, TCP_PAYLOAD_MAX};

/// How a question came in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// Answers are bounded by what the client takes.
    Udp,
    /// Answers may be as long as a message can be.
    Tcp,
}

/// Everything that one query needs.
pub struct Responder {
    clock: Arc<dyn Clock>,
    devices: Arc<LiveDevices>,
    policy: Arc<LivePolicy>,
    resolver: Arc<Resolver>,
    events: Arc<dyn EventSink>,
    access: ArcSwap<Access>,
    networks: ArcSwap<Vec<IpNet>>,
    limits: Limits,
    in_flight: AtomicUsize,
}

/// The answer and what the event tells of it.
struct Outcome {
    message: Vec<u8>,
    answered: Answered,
    rcode: u16,
}

/// Transfers of zones and the like are not questions for a resolver (RFC 6895 section 3.1: QTYPEs 128 to 254 are no data).
const META_TYPES: std::ops::RangeInclusive<u16> = 128..=254;

impl Responder {
    /// Puts the parts together.
    pub fn new(
        clock: Arc<dyn Clock>,
        devices: Arc<LiveDevices>,
        policy: Arc<LivePolicy>,
        resolver: Arc<Resolver>,
        events: Arc<dyn EventSink>,
        access: Access,
    ) -> Self {
        let limits = Limits::new(clock.instant());
        let (access, networks) = (ArcSwap::from_pointee(access), ArcSwap::default());
        let in_flight = AtomicUsize::new(0);
        Self { clock, devices, policy, resolver, events, access, networks, limits, in_flight }
    }

    /// Takes over a changed configuration.
    pub fn set_access(&self, access: Access) {
        self.access.store(Arc::new(access));
    }

    /// Takes over the networks that this machine is on now.
    pub fn set_networks(&self, networks: Vec<IpNet>) {
        self.networks.store(Arc::new(networks));
    }

    /// How many queries wait for their answer.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a query until what is given back is dropped, which should be when its answer has been sent.
    pub(super) fn count(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }

    /// Answers one packet; `None` when nothing may be sent back. All decisions about a query are in this function.
    pub async fn respond(&self, packet: &[u8], client: SocketAddr, transport: Transport) -> Option<Vec<u8>> {
        let access = self.access.load_full();
        if !access.allows(client.ip(), &self.networks.load()) {
            // Over UDP the sender's address may be forged: whoever is not of the house hears nothing.
            return None;
        }
        let query = match wire::parse(packet) {
            Ok(query) => query,
            Err(Malformed::Silent) => return None,
            Err(Malformed::Answer(header)) => return Some(header.into()),
        };
        if query.edns.is_some_and(|edns| edns.version != 0) {
            return Some(wire::compose_error(&query, Rcode::BadVers, None));
        }
        if query.qclass() != CLASS_IN
            || META_TYPES.contains(&query.qtype())
            || query.qtype() == wire::qtype::OPT
        {
            return Some(wire::compose_error(&query, Rcode::Refused, None));
        }
        if !self.limits.admits(client.ip(), access.queries_per_second, self.clock.instant()) {
            let text = format!("more than {} questions a second", access.queries_per_second);
            let ede = Ede { code: Ede::PROHIBITED, text: &text };
            return Some(wire::compose_error(&query, Rcode::Refused, Some(ede)));
        }
        let (at, begun) = (self.clock.now(), self.clock.instant());
        let device = self.devices.current().identify(client.ip());
        let (verdict, blocking) = {
            let policy = self.policy.current();
            (policy.judge(&device, query.name()), policy.blocking)
        };
        let outcome = match &verdict {
            Verdict::Block(rule) => sinkhole(&query, blocking, rule),
            Verdict::Allow(_) | Verdict::Pass => self.resolve(&query, transport).await,
        };
        let latency = self.clock.instant().saturating_duration_since(begun);
        let Outcome { message, answered, rcode } = outcome;
        let latency_us = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        let (qtype, name) = (query.qtype(), query.into_name());
        self.events.emit(QueryEvent { at, device, name, qtype, verdict, answered, rcode, latency_us });
        Some(message)
    }

    async fn resolve(&self, query: &Query<'_>, transport: Transport) -> Outcome {
        let question = Question {
            name: query.name().to_owned(),
            qtype: query.qtype(),
            qclass: query.qclass(),
            dnssec_ok: query.dnssec_ok(),
            checking_disabled: query.checking_disabled(),
        };
        let size_max = match transport {
            // hickory-server encodes the answer anew and does not compress owners against the question: the first one
            // takes its whole length again.
            Transport::Udp => query.udp_payload_max() - query.name().as_wire().len(),
            Transport::Tcp => TCP_PAYLOAD_MAX,
        };
        match self.resolver.resolve(&question).await {
            Ok(resolved) => Outcome {
                message: resolved
                    .answer
                    .serve(query, Served { age_secs: resolved.age_secs, size_max, ede: None }),
                rcode: resolved.answer.rcode(),
                answered: match resolved.origin {
                    Origin::Cache => Answered::Cache,
                    Origin::Upstream(upstream) => Answered::Upstream(upstream),
                },
            },
            Err(unresolved) => {
                let code = match unresolved.kind {
                    UnresolvedKind::Refused | UnresolvedKind::Overload => Ede::OTHER,
                    UnresolvedKind::Unreachable => Ede::NO_REACHABLE_AUTHORITY,
                };
                let ede = Ede { code, text: &unresolved.why };
                let message = wire::compose_error(query, Rcode::ServFail, Some(ede));
                Outcome { message, answered: Answered::Nobody, rcode: Rcode::ServFail as u16 }
            }
        }
    }
}

/// The answer to a blocked question. Only `A` and `AAAA` have addresses; any other type has no data, so that a client does
/// not find by `HTTPS` what it may not find by `A`.
fn sinkhole(query: &Query<'_>, blocking: Blocking, rule: &RuleRef) -> Outcome {
    let text = format!("{}, line {}", rule.list, rule.line);
    let ede = Some(Ede { code: Ede::BLOCKED, text: &text });
    let ttl = blocking.ttl_secs;
    let (message, rcode) = match blocking.mode {
        SinkholeMode::Null => {
            let null = [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)];
            (wire::compose_addresses(query, &null, ttl, ede), Rcode::NoError)
        }
        SinkholeMode::Custom { ipv4, ipv6 } => {
            let addresses: Vec<IpAddr> =
                ipv4.map(IpAddr::from).into_iter().chain(ipv6.map(IpAddr::from)).collect();
            (wire::compose_addresses(query, &addresses, ttl, ede), Rcode::NoError)
        }
        SinkholeMode::NxDomain => (wire::compose_negative(query, Rcode::NxDomain, ttl, ede), Rcode::NxDomain),
        SinkholeMode::NoData => (wire::compose_negative(query, Rcode::NoError, ttl, ede), Rcode::NoError),
        SinkholeMode::Refused => (wire::compose_error(query, Rcode::Refused, ede), Rcode::Refused),
    };
    Outcome { message, answered: Answered::Sinkhole, rcode: rcode as u16 }
}

/// A query that waits for its answer, also when its task is ended.
pub(super) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
