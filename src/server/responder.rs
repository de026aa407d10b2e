//! The one function that decides about a query.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use super::access::{Access, is_of_the_house};
use super::connections::{ConnectionLimits, Seat};
use super::limits::{Limits, Rate};
use super::sinkhole::Sinkhole;
use crate::clock::Clock;
use crate::device::LiveDevices;
use crate::event::{Answered, EventSink, QueryEvent};
use crate::list::Answer;
use crate::name::{DomainName, NameRef};
use crate::policy::{self, Judgement, LivePolicy, Verdict};
use crate::resolve::{Origin, Question, Resolved, Resolver, Unresolved, UnresolvedKind};
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
pub(super) struct Outcome {
    /// `None`: nothing is sent back.
    pub(super) message: Option<Vec<u8>>,
    pub(super) answered: Answered,
    pub(super) rcode: u16,
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

    /// What each client has of what is limited.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A seat for a TCP connection of `client`, unless it may not ask or there is none left; `leave` is cancelled when the
    /// connection has to give way.
    pub(super) fn seat(&self, client: IpAddr, leave: CancellationToken) -> Option<Seat> {
        let access = self.access.load();
        if !access.allows(client, &self.networks.load()) {
            return None;
        }
        let limits =
            ConnectionLimits { total: access.tcp_connections, per_client: access.tcp_connections_per_client };
        self.limits.connections().seat(client, limits, leave, self.clock.instant())
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
        let networks = self.networks.load();
        if !access.allows(client.ip(), &networks) {
            // Over UDP the sender's address may be forged: whoever is not of the house hears nothing.
            return None;
        }
        // Over TCP nobody can ask in the name of another.
        let may_be_forged = transport == Transport::Udp && !is_of_the_house(client.ip(), &networks);
        drop(networks);
        let parsed = match wire::parse(packet) {
            Err(Malformed::Silent) => return None,
            parsed => parsed,
        };
        let rate = if may_be_forged {
            self.limits.rate(client.ip(), access.responses_per_second, self.clock.instant())
        } else {
            Rate::Answer
        };
        let query = match (rate, parsed) {
            (Rate::Answer, Ok(query)) => query,
            (Rate::Truncate, Ok(query)) => return Some(wire::compose_truncated(&query)),
            (Rate::Answer, Err(Malformed::Answer(header))) => return Some(header.into()),
            _ => return None,
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
            return Some(refused(
                &query,
                &format!("more than {} questions a second", access.queries_per_second),
            ));
        }
        let (at, begun) = (self.clock.now(), self.clock.instant());
        let (device, tags) = {
            let devices = self.devices.current();
            let device = devices.identify(client.ip());
            let tags = devices.tags(&device);
            (device, tags)
        };
        let policy = Arc::clone(&self.policy.current());
        let asked = policy::Question {
            name: query.name(),
            qtype: query.qtype(),
            device: &device,
            address: Some(client.ip().to_canonical()),
            tags: tags.as_deref().unwrap_or_default(),
        };
        let judged = policy.judge(&asked);
        let asks = match &judged.verdict {
            // Where an alias leads, an upstream tells.
            Verdict::Block(_) => matches!(judged.answer, Some(Answer::Cname { .. })),
            Verdict::Allow(_) | Verdict::Pass => query.qtype() != wire::qtype::ANY,
        };
        let waiting = asks.then(|| self.limits.wait(client.ip(), access.in_flight_per_client));
        if matches!(waiting, Some(None)) {
            // Not SERVFAIL, after which a stub resolver asks the same again at once.
            let text = format!("more than {} questions at once", access.in_flight_per_client);
            return Some(refused(&query, &text));
        }
        let resolved = match &judged.verdict {
            Verdict::Allow(_) | Verdict::Pass if asks => Some(self.ask(&query).await),
            Verdict::Block(_) | Verdict::Allow(_) | Verdict::Pass => None,
        };
        let judged = match (&judged.verdict, &resolved) {
            (Verdict::Pass, Some(Ok(Resolved { answer, .. }))) => {
                policy.judge_answer(&asked, &answer.targets(), || answer.addresses()).unwrap_or(judged)
            }
            _ => judged,
        };
        let Judgement { verdict, answer } = judged;
        let outcome = match (&verdict, resolved) {
            (Verdict::Block(rule), _) => {
                let sinkhole = Sinkhole { query: &query, blocking: policy.blocking, rule };
                self.block(&sinkhole, answer.as_ref()).await
            }
            (Verdict::Allow(_) | Verdict::Pass, Some(Ok(resolved))) => serve(&query, transport, &resolved),
            (Verdict::Allow(_) | Verdict::Pass, Some(Err(unresolved))) => failed(&query, &unresolved),
            (Verdict::Allow(_) | Verdict::Pass, None) => minimal(&query),
        };
        drop(waiting);
        let latency = self.clock.instant().saturating_duration_since(begun);
        let Outcome { message, answered, rcode } = outcome;
        let latency_us = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        let (qtype, name) = (query.qtype(), query.into_name());
        self.events.emit(QueryEvent { at, device, name, qtype, verdict, answered, rcode, latency_us });
        message
    }

    async fn ask(&self, query: &Query<'_>) -> Result<Resolved, Unresolved> {
        self.resolver.resolve(&question(query, query.name().to_owned())).await
    }

    /// The answer to a blocked question: the household's, or the one that the rule asks for.
    async fn block(&self, sinkhole: &Sinkhole<'_>, answer: Option<&Answer>) -> Outcome {
        let Some(Answer::Cname { target, prefixed }) = answer else { return sinkhole.answer(answer) };
        let query = sinkhole.query;
        let target = if *prefixed { joined(query.name(), target.as_ref()) } else { Some(target.clone()) };
        // A name that grows too long does not exist.
        let Some(target) = target else { return sinkhole.answer(Some(&Answer::NxDomain)) };
        if query.qtype() == wire::qtype::CNAME {
            return sinkhole.alias(&target, &[]);
        }
        match self.resolver.resolve(&question(query, target.clone())).await {
            Ok(resolved) => sinkhole.alias(&target, &resolved.answer.records(resolved.age_secs)),
            Err(unresolved) => failed(query, &unresolved),
        }
    }
}

fn question(query: &Query<'_>, name: DomainName) -> Question {
    Question {
        name,
        qtype: query.qtype(),
        qclass: query.qclass(),
        dnssec_ok: query.dnssec_ok(),
        checking_disabled: query.checking_disabled(),
    }
}

/// `name` before `behind`; `None` when that is no name.
fn joined(name: NameRef<'_>, behind: NameRef<'_>) -> Option<DomainName> {
    let (_, labels) = name.as_wire().split_last()?;
    DomainName::from_wire(&[labels, behind.as_wire()].concat()).ok()
}

fn serve(query: &Query<'_>, transport: Transport, resolved: &Resolved) -> Outcome {
    let size_max = match transport {
        // hickory-server encodes the answer anew and does not compress owners against the question: the first one
        // takes its whole length again.
        Transport::Udp => query.udp_payload_max() - query.name().as_wire().len(),
        Transport::Tcp => TCP_PAYLOAD_MAX,
    };
    let served = Served { age_secs: resolved.age_secs, size_max, ede: None };
    Outcome {
        message: Some(resolved.answer.serve(query, served)),
        rcode: resolved.answer.rcode(),
        answered: match &resolved.origin {
            Origin::Cache => Answered::Cache,
            Origin::Upstream(upstream) => Answered::Upstream(Arc::clone(upstream)),
        },
    }
}

/// Not answered, because the client has had its share.
fn refused(query: &Query<'_>, why: &str) -> Vec<u8> {
    wire::compose_error(query, Rcode::Refused, Some(Ede { code: Ede::PROHIBITED, text: why }))
}

/// The answer to QTYPE ANY: one record that says why there are no others, and no upstream is asked (RFC 8482 section 4.2). What
/// a name has of everything is of use to those only who want large answers sent to others.
fn minimal(query: &Query<'_>) -> Outcome {
    const TTL_SECS: u32 = 3600;
    let rdata = b"\x07RFC8482\x00".to_vec();
    let hinfo = wire::AnswerRecord { owner: None, rtype: wire::qtype::HINFO, ttl_secs: TTL_SECS, rdata };
    let message = Some(wire::compose_records(query, &[hinfo], TTL_SECS, None));
    Outcome { message, answered: Answered::Sinkhole, rcode: Rcode::NoError as u16 }
}

fn failed(query: &Query<'_>, unresolved: &Unresolved) -> Outcome {
    let code = match unresolved.kind {
        UnresolvedKind::Refused | UnresolvedKind::Overload => Ede::OTHER,
        UnresolvedKind::Unreachable => Ede::NO_REACHABLE_AUTHORITY,
    };
    let ede = Ede { code, text: &unresolved.why };
    let message = Some(wire::compose_error(query, Rcode::ServFail, Some(ede)));
    Outcome { message, answered: Answered::Nobody, rcode: Rcode::ServFail as u16 }
}

/// A query that waits for its answer, also when its task is ended.
pub(super) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
