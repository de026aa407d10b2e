//! The one function that decides about a query.
//!
//! It has two halves that share every decision: [`Responder::answer_at_once`], which answers from memory and neither waits nor
//! allocates, and [`Responder::answer_later`], which asks upstreams.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use ipnet::IpNet;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::access::{Access, is_of_the_house};
use super::connections::{ConnectionLimits, Seat};
use super::limits::{Limits, Rate, Waiting};
use super::sinkhole::Sinkhole;
use crate::clock::Clock;
use crate::device::{DeviceKey, DeviceTable, KnownDevice, LiveDevices, Mac};
use crate::event::{AnsweredBy, Decided, EventSink, EventWriter, RuleText, Told};
use crate::list::{Action, Answer};
use crate::local::{self, LiveLocal, Local};
use crate::name::{DomainName, NameRef};
use crate::policy::{self, Decisive, LivePolicy, Memo, Objection, Policy};
use crate::resolve::{
    Asked, Cached, Freshness, Known, Origin, Question, Resolver, Unresolved, UnresolvedKind, UpstreamSet,
};
use crate::wire::{self, Behalf, CLASS_IN, Ede, Malformed, Query, Rcode, Served, TCP_PAYLOAD_MAX};

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
    local: Arc<LiveLocal>,
    resolver: Arc<Resolver>,
    sink: Arc<dyn EventSink>,
    /// For those who have none of their own.
    events: Mutex<Box<dyn EventWriter>>,
    memo: Memo,
    access: ArcSwap<Access>,
    networks: ArcSwap<Vec<IpNet>>,
    limits: Limits,
    in_flight: Arc<AtomicU32>,
    unsent: AtomicU64,
}

/// What holds for all packets that are answered together: taken once for each batch.
pub(super) struct Moment {
    policy: Guard<Arc<Policy>>,
    local: Guard<Arc<Local>>,
    devices: Guard<Arc<DeviceTable>>,
    access: Guard<Arc<Access>>,
    networks: Guard<Arc<Vec<IpNet>>>,
    at: Timestamp,
    begun: Instant,
}

/// What became of a packet at once.
pub(super) enum AtOnce {
    /// The answer is written; when it is empty, nothing may be sent back.
    Done,
    /// An upstream has to be asked first: [`Responder::answer_later`].
    Later(InFlight),
}

/// What an answer was, for the event.
pub(super) struct Outcome<'a> {
    pub(super) decisive: Option<Decisive<'a>>,
    /// What was wrong with the answer that there was.
    pub(super) objection: Option<Objection>,
    /// The name that the answer led to, where that is what was blocked.
    pub(super) behind: Option<NameRef<'a>>,
    pub(super) answered: AnsweredBy<'a>,
    pub(super) rcode: u16,
}

/// Transfers of zones and the like are not questions for a resolver (RFC 6895 section 3.1: QTYPEs 128 to 254 are no data).
const META_TYPES: std::ops::RangeInclusive<u16> = 128..=254;
/// Where the name of a list stands when none blocked an answer.
const ANSWER_CHECKS: &str = "answer checks";
/// So many questions may wait for upstreams, each with its packet and a task; whoever asks more is told SERVFAIL at once.
pub const IN_FLIGHT_MAX: u32 = 4096;

impl Responder {
    /// Puts the parts together.
    pub fn new(
        clock: Arc<dyn Clock>,
        devices: Arc<LiveDevices>,
        policy: Arc<LivePolicy>,
        local: Arc<LiveLocal>,
        resolver: Arc<Resolver>,
        events: Arc<dyn EventSink>,
        access: Access,
    ) -> Self {
        Self {
            limits: Limits::new(clock.instant()),
            events: Mutex::new(events.writer()),
            memo: Memo::default(),
            sink: events,
            access: ArcSwap::from_pointee(access),
            networks: ArcSwap::default(),
            in_flight: Arc::default(),
            unsent: AtomicU64::new(0),
            clock,
            devices,
            policy,
            local,
            resolver,
        }
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

    /// Whether `client` is answered at all.
    pub fn allows(&self, client: IpAddr) -> bool {
        self.access.load().allows(client, &self.networks.load())
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

    /// Where what has to wait for an upstream goes on.
    pub(super) fn runtime(&self) -> &Handle {
        self.resolver.runtime()
    }

    /// How many queries wait for their answer.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How many answers could not be sent: the system had no room, or no way to the client.
    pub fn answers_unsent(&self) -> u64 {
        self.unsent.load(Ordering::Relaxed)
    }

    pub(super) fn unsent(&self, answers: usize) {
        self.unsent.fetch_add(answers as u64, Ordering::Relaxed);
    }

    /// A writer for a thread that answers.
    pub(super) fn event_writer(&self) -> Box<dyn EventWriter> {
        self.sink.writer()
    }

    fn events(&self) -> MutexGuard<'_, Box<dyn EventWriter>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What holds now.
    pub(super) fn moment(&self) -> Moment {
        Moment {
            policy: self.policy.current(),
            local: self.local.current(),
            devices: self.devices.current(),
            access: self.access.load(),
            networks: self.networks.load(),
            at: self.clock.now(),
            begun: self.clock.instant(),
        }
    }

    /// Answers one packet; `None` when nothing may be sent back.
    pub async fn respond(&self, packet: &[u8], client: SocketAddr, transport: Transport) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(wire::UDP_PAYLOAD_PLAIN);
        let at_once = {
            let moment = self.moment();
            self.answer_at_once(&moment, packet, client.ip(), transport, &mut out, &mut **self.events())
        };
        match at_once {
            AtOnce::Done => Some(out).filter(|out| !out.is_empty()),
            AtOnce::Later(_in_flight) => self.answer_later(packet, client.ip(), transport).await,
        }
    }

    /// Answers one packet from memory, if that is possible.
    pub(super) fn answer_at_once(
        &self,
        moment: &Moment,
        packet: &[u8],
        client: IpAddr,
        transport: Transport,
        out: &mut Vec<u8>,
        events: &mut dyn EventWriter,
    ) -> AtOnce {
        if !moment.access.allows(client, &moment.networks) {
            // Over UDP the sender's address may be forged: whoever is not of the house hears nothing.
            return AtOnce::Done;
        }
        let parsed = match wire::parse(packet) {
            Err(Malformed::Silent) => return AtOnce::Done,
            parsed => parsed,
        };
        // Over TCP nobody can ask in the name of another.
        let may_be_forged = transport == Transport::Udp && !is_of_the_house(client, &moment.networks);
        let rate = if may_be_forged {
            self.limits.rate(client, moment.access.responses_per_second, moment.begun)
        } else {
            Rate::Answer
        };
        let query = match (rate, parsed) {
            (Rate::Answer, Ok(query)) => query,
            (Rate::Answer, Err(Malformed::Answer(header))) => {
                out.extend_from_slice(&header);
                return AtOnce::Done;
            }
            (Rate::Truncate, Ok(query)) => {
                wire::compose_truncated(&query, out);
                return AtOnce::Done;
            }
            _ => return AtOnce::Done,
        };
        if let Some(refusal) = refusal(&query) {
            wire::compose_error(&query, refusal, None, out);
            return AtOnce::Done;
        }
        if !self.limits.admits(client, moment.access.queries_per_second, moment.begun) {
            let limit = moment.access.queries_per_second;
            return refuse(&query, format_args!("more than {limit} questions a second"), out);
        }
        let asker = Asker::of(&query, client, &moment.access);
        let turn = Turn::new(&query, &moment.policy, &moment.devices, asker, transport);
        let local = turn.local(&moment.local);
        let decisive = if local.is_some() { None } else { turn.decide(&self.memo) };
        let known;
        let outcome = match decisive.filter(|decisive| decisive.action() == Action::Block) {
            Some(decisive) => turn.block(decisive, out),
            None if let Some(local) = &local => turn
                .answer_local(local, out)
                .or_else(|| self.answer_alias_at_once(&turn, local, moment.begun, out)),
            None if query.qtype() == wire::qtype::ANY => Some(turn.minimal(decisive, out)),
            None => {
                known = self.resolver.cached(&turn.asked(), moment.begun);
                match &known {
                    Some(Known::Answer(cached)) => {
                        if cached.wants_refresh() {
                            self.resolver.refresh(turn.asks(query.name().to_owned()));
                        }
                        match turn.decide_answer(decisive, cached) {
                            Some((found, behind)) => {
                                turn.block(found, out).map(|outcome| Outcome { behind, ..outcome })
                            }
                            None if let Some(objection) = turn.object(decisive, cached, &moment.local) => {
                                Some(turn.withhold(objection, out))
                            }
                            None => Some(turn.serve(decisive, cached, from_cache(cached), out)),
                        }
                    }
                    Some(Known::Failure(unresolved)) => Some(turn.fail(decisive, unresolved, out)),
                    None => None,
                }
            }
        };
        if let Some(outcome) = outcome {
            self.finish(&turn, &outcome, moment.at, moment.begun, out, events);
            return AtOnce::Done;
        }
        let Some(waiting) = self.limits.wait(client, moment.access.in_flight_per_client) else {
            // Not SERVFAIL, after which a stub resolver asks the same again at once.
            let limit = moment.access.in_flight_per_client;
            return refuse(&query, format_args!("more than {limit} questions at once"), out);
        };
        match InFlight::begin(&self.in_flight, waiting) {
            Some(in_flight) => AtOnce::Later(in_flight),
            None => {
                let why = format!("{IN_FLIGHT_MAX} questions wait for upstreams already").into();
                let unresolved = Unresolved::new(why, UnresolvedKind::Overload);
                let outcome = turn.fail(decisive, &unresolved, out);
                self.finish(&turn, &outcome, moment.at, moment.begun, out, events);
                AtOnce::Done
            }
        }
    }

    /// Cuts short what is too long, and tells what happened.
    fn finish(
        &self,
        turn: &Turn<'_>,
        outcome: &Outcome<'_>,
        at: Timestamp,
        begun: Instant,
        out: &mut Vec<u8>,
        events: &mut dyn EventWriter,
    ) {
        let &Outcome { decisive, ref objection, behind, answered, rcode } = outcome;
        if turn.size_max() < out.len() {
            wire::compose_truncated(turn.query, out);
        }
        let latency = self.clock.instant().saturating_duration_since(begun);
        let rule = decisive.as_ref().map(|rule| (rule.action(), RuleText { list: rule.list(), rule }));
        events.write(&Told {
            at,
            client: turn.asker.key().to_address(),
            name: turn.query.name(),
            behind,
            qtype: turn.query.qtype(),
            rcode,
            latency_us: u32::try_from(latency.as_micros()).unwrap_or(u32::MAX),
            answered,
            decided: match rule {
                None if let Some(objection) = objection => {
                    Decided::Block(RuleText { list: ANSWER_CHECKS, rule: objection })
                }
                None => Decided::Pass,
                Some((Action::Allow, rule)) => Decided::Allow(rule),
                Some((Action::Block, rule)) => Decided::Block(rule),
            },
        });
    }

    /// Answers a packet that [`Responder::answer_at_once`] let in and could not answer; `None` when nothing may be sent back.
    pub(super) async fn answer_later(
        &self,
        packet: &[u8],
        client: IpAddr,
        transport: Transport,
    ) -> Option<Vec<u8>> {
        let query = wire::parse(packet).ok()?;
        let (at, begun) = (self.clock.now(), self.clock.instant());
        let (policy, devices) = (Arc::clone(&self.policy.current()), Arc::clone(&self.devices.current()));
        let asker = Asker::of(&query, client, &self.access.load());
        let turn = Turn::new(&query, &policy, &devices, asker, transport);
        let table = Arc::clone(&self.local.current());
        let local = turn.local(&table);
        let decisive = if local.is_some() { None } else { turn.decide(&self.memo) };
        let mut out = Vec::with_capacity(wire::UDP_PAYLOAD_PLAIN);
        let resolved;
        let outcome = match decisive.filter(|decisive| decisive.action() == Action::Block) {
            Some(decisive) => self.block(&turn, decisive, &mut out).await,
            None if let Some(local) = &local => self.answer_alias(&turn, local, &mut out).await,
            None => {
                resolved = self.resolver.resolve(&turn.asks(query.name().to_owned())).await;
                match &resolved {
                    Ok(resolved) => {
                        let answered = match &resolved.origin {
                            Origin::Cache => from_cache(&resolved.answer),
                            Origin::Upstream(upstream) => AnsweredBy::Upstream(upstream),
                        };
                        match turn.decide_answer(decisive, &resolved.answer) {
                            Some((found, behind)) => {
                                Outcome { behind, ..self.block(&turn, found, &mut out).await }
                            }
                            None if let Some(objection) = turn.object(decisive, &resolved.answer, &table) => {
                                turn.withhold(objection, &mut out)
                            }
                            None => turn.serve(decisive, &resolved.answer, answered, &mut out),
                        }
                    }
                    Err(unresolved) => turn.fail(decisive, unresolved, &mut out),
                }
            }
        };
        self.finish(&turn, &outcome, at, begun, &mut out, &mut **self.events());
        Some(out).filter(|out| !out.is_empty())
    }

    /// The answer for a name of the house that is an alias of one outside, about which something is known.
    fn answer_alias_at_once<'a>(
        &self,
        turn: &Turn<'a>,
        local: &local::Answer<'a>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Option<Outcome<'a>> {
        let target = local.outside?;
        match self.resolver.cached(&Asked { name: target.as_ref(), ..turn.asked() }, now)? {
            Known::Answer(cached) => {
                if cached.wants_refresh() {
                    self.resolver.refresh(turn.asks(target.clone()));
                }
                Some(turn.write_local(local, &cached.answer().records(cached.age_secs()), out))
            }
            Known::Failure(unresolved) => Some(turn.fail(None, &unresolved, out)),
        }
    }

    /// The answer to a question about a name of the house, also where it is an alias of one outside.
    async fn answer_alias<'a>(
        &self,
        turn: &Turn<'a>,
        local: &local::Answer<'a>,
        out: &mut Vec<u8>,
    ) -> Outcome<'a> {
        let Some(target) = local.outside.filter(|_| turn.query.qtype() != wire::qtype::ANY) else {
            return turn.write_local(local, &[], out);
        };
        match self.resolver.resolve(&turn.asks(target.clone())).await {
            Ok(resolved) => {
                let cached = &resolved.answer;
                turn.write_local(local, &cached.answer().records(cached.age_secs()), out)
            }
            Err(unresolved) => turn.fail(None, &unresolved, out),
        }
    }

    /// The answer to a blocked question, also where the rule asks for what another name leads to.
    async fn block<'a>(&self, turn: &Turn<'a>, decisive: Decisive<'a>, out: &mut Vec<u8>) -> Outcome<'a> {
        if let Some(outcome) = turn.block(decisive, out) {
            return outcome;
        }
        let sinkhole = turn.sinkhole(decisive);
        let target = match decisive.answer() {
            Some(Answer::Cname { target, prefixed: false }) => Some(target.clone()),
            Some(Answer::Cname { target, prefixed: true }) => joined(turn.query.name(), target.as_ref()),
            _ => None,
        };
        let rcode = match target {
            // A name that grows too long does not exist.
            None => sinkhole.negative(Rcode::NxDomain, out),
            Some(target) if turn.query.qtype() == wire::qtype::CNAME => sinkhole.alias(&target, &[], out),
            Some(target) => match self.resolver.resolve(&turn.asks(target.clone())).await {
                // Whoever wrote the list may not lead anybody into the house either.
                Ok(resolved)
                    if !turn.policy.is_own(&decisive)
                        && turn.policy.answers.check(target.as_ref(), resolved.answer.answer()).is_some() =>
                {
                    sinkhole.alias(&target, &[], out)
                }
                Ok(resolved) => {
                    let cached = &resolved.answer;
                    sinkhole.alias(&target, &cached.answer().records(cached.age_secs()), out)
                }
                Err(unresolved) => return turn.fail(Some(decisive), &unresolved, out),
            },
        };
        Outcome::by(Some(decisive), AnsweredBy::Sinkhole, rcode)
    }
}

impl<'a> Outcome<'a> {
    /// One that nothing was wrong with, and that leads to nothing that is blocked.
    pub(super) const fn by(decisive: Option<Decisive<'a>>, answered: AnsweredBy<'a>, rcode: u16) -> Self {
        Self { decisive, objection: None, behind: None, answered, rcode }
    }
}

/// Who asks: whoever sent the query, or the one for whom a trusted forwarder did.
#[derive(Clone, Copy)]
struct Asker {
    mac: Option<Mac>,
    /// `None`: only the MAC is known.
    address: Option<IpAddr>,
}

impl Asker {
    fn of(query: &Query<'_>, client: IpAddr, access: &Access) -> Self {
        let client = Self { mac: None, address: Some(client.to_canonical()) };
        if !client.address.is_some_and(|client| access.trusts(client)) {
            return client;
        }
        match query.on_behalf() {
            Behalf { mac: None, address: None } => client,
            Behalf { mac, address } => Self { mac: mac.map(Mac), address },
        }
    }

    /// What it is known by.
    fn key(self) -> DeviceKey {
        let address = || DeviceKey::Address(self.address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        self.mac.map_or_else(address, DeviceKey::Mac)
    }
}

/// A query, whose it is, and the policy that it is judged by.
pub(super) struct Turn<'a> {
    pub(super) query: &'a Query<'a>,
    pub(super) policy: &'a Policy,
    pub(super) question: policy::Question<'a>,
    asker: Asker,
    set: UpstreamSet,
    transport: Transport,
}

impl<'a> Turn<'a> {
    fn new(
        query: &'a Query<'a>,
        policy: &'a Policy,
        devices: &'a DeviceTable,
        asker: Asker,
        transport: Transport,
    ) -> Self {
        let known = match asker {
            Asker { mac: Some(mac), .. } => devices.find_key(DeviceKey::Mac(mac)),
            Asker { address: Some(address), .. } => devices.find(address),
            Asker { mac: None, address: None } => None,
        };
        let question = policy::Question {
            name: query.name(),
            qtype: query.qtype(),
            device: known.map_or("", KnownDevice::said_name),
            address: asker.address,
            key: Some(known.map_or_else(|| asker.key(), |known| known.device.key)),
            tags: known.map_or(&[], |known| &*known.tags),
        };
        let group = match known {
            Some(known) => known.group.as_ref(),
            None => devices.group_of_stranger(asker.key()),
        };
        let set = group.map_or(UpstreamSet::EVERYBODY, |group| UpstreamSet(group.number));
        Self { query, policy, question, asker, set, transport }
    }

    /// What is asked for whoever asks.
    fn asked(&self) -> Asked<'a> {
        Asked {
            name: self.query.name(),
            qtype: self.query.qtype(),
            qclass: self.query.qclass(),
            dnssec_ok: self.query.dnssec_ok(),
            checking_disabled: self.query.checking_disabled(),
            set: self.set,
        }
    }

    /// The same about another name.
    fn asks(&self, name: DomainName) -> Question {
        let Asked { name: _, qtype, qclass, dnssec_ok, checking_disabled, set } = self.asked();
        Question { name, qtype, qclass, dnssec_ok, checking_disabled, set }
    }

    fn decide(&self, memo: &Memo) -> Option<Decisive<'a>> {
        self.policy.decide_by(&self.question, memo)
    }

    fn sinkhole<'b>(&'b self, decisive: Decisive<'b>) -> Sinkhole<'b> {
        Sinkhole { query: self.query, blocking: self.policy.blocking, rule: decisive }
    }

    fn size_max(&self) -> usize {
        match self.transport {
            Transport::Udp => self.query.udp_payload_max(),
            Transport::Tcp => TCP_PAYLOAD_MAX,
        }
    }

    /// Writes what a rule answers. `None`: what another name leads to has to be looked up first.
    fn block<'b>(&self, decisive: Decisive<'b>, out: &mut Vec<u8>) -> Option<Outcome<'b>> {
        let rcode = self.sinkhole(decisive).answer(decisive.answer(), out)?;
        Some(Outcome::by(Some(decisive), AnsweredBy::Sinkhole, rcode))
    }

    /// The rule that blocks an answer for what it leads to. A question that a rule lets through is not looked at again.
    fn decide_answer<'b>(
        &self,
        decisive: Option<Decisive<'b>>,
        cached: &'b Cached,
    ) -> Option<(Decisive<'b>, Option<NameRef<'b>>)>
    where
        'a: 'b,
    {
        let (answer, generation) = (cached.answer(), self.policy.generation);
        if decisive.is_some() || cached.cleared(generation) {
            return None;
        }
        let found = self.policy.decide_answer(&self.question, answer.targets(), answer.addresses());
        if found.is_none() && self.policy.is_alike_for_all() {
            cached.clear(generation);
        }
        found
    }

    /// Writes an answer.
    fn serve<'b>(
        &self,
        decisive: Option<Decisive<'b>>,
        cached: &Cached,
        answered: AnsweredBy<'b>,
        out: &mut Vec<u8>,
    ) -> Outcome<'b> {
        let answer = cached.answer();
        let is_negative = answer.rcode() == Rcode::NxDomain as u16;
        let code = if is_negative { Ede::STALE_NXDOMAIN } else { Ede::STALE };
        let ede = Ede::new(code, &"no upstream answers; this is what one said before");
        let (age_secs, size_max) = (cached.age_secs(), self.size_max());
        let ede = matches!(answered, AnsweredBy::Stale).then_some(ede);
        answer.serve(self.query, Served { age_secs, size_max, ede }, out);
        Outcome::by(decisive, answered, answer.rcode())
    }

    /// Writes the answer to QTYPE ANY: one record that says why there are no others, and no upstream is asked (RFC 8482
    /// section 4.2). What a name has of everything is of use to those only who want large answers sent to others.
    pub(super) fn minimal<'b>(&self, decisive: Option<Decisive<'b>>, out: &mut Vec<u8>) -> Outcome<'b> {
        const TTL_SECS: u32 = 3600;
        let rdata = b"\x07RFC8482\x00";
        let hinfo = wire::AnswerRecord { owner: None, rtype: wire::qtype::HINFO, ttl_secs: TTL_SECS, rdata };
        wire::compose_records(self.query, [hinfo], TTL_SECS, None, out);
        Outcome::by(decisive, AnsweredBy::Sinkhole, Rcode::NoError as u16)
    }

    /// Writes that nobody could tell.
    fn fail<'b>(
        &self,
        decisive: Option<Decisive<'b>>,
        unresolved: &Unresolved,
        out: &mut Vec<u8>,
    ) -> Outcome<'b> {
        let code = match unresolved.kind {
            UnresolvedKind::Refused | UnresolvedKind::Overload => Ede::OTHER,
            UnresolvedKind::Unreachable => Ede::NO_REACHABLE_AUTHORITY,
            UnresolvedKind::Network => Ede::NETWORK_ERROR,
            UnresolvedKind::NotReady => Ede::NOT_READY,
        };
        let ede = match &unresolved.said {
            Some(said) => said.as_ede(),
            None => Ede::new(code, &unresolved.why),
        };
        let ede = Ede { besides: unresolved.is_kept.then_some(Ede::CACHED_ERROR), ..ede };
        wire::compose_error(self.query, Rcode::ServFail, Some(ede), out);
        Outcome::by(decisive, AnsweredBy::Nobody, Rcode::ServFail as u16)
    }
}

/// Who answered with what the cache holds.
fn from_cache(cached: &Cached) -> AnsweredBy<'static> {
    match cached.freshness() {
        Freshness::Fresh => AnsweredBy::Cache,
        Freshness::Stale => AnsweredBy::Stale,
    }
}

/// Refuses a query because of a limit.
fn refuse(query: &Query<'_>, why: fmt::Arguments<'_>, out: &mut Vec<u8>) -> AtOnce {
    let ede = Ede::new(Ede::PROHIBITED, &why);
    wire::compose_error(query, Rcode::Refused, Some(ede), out);
    AtOnce::Done
}

/// The error with which a query is refused for what it is.
fn refusal(query: &Query<'_>) -> Option<Rcode> {
    if query.edns.is_some_and(|edns| edns.version != 0) {
        return Some(Rcode::BadVers);
    }
    let is_refused = query.qclass() != CLASS_IN
        || META_TYPES.contains(&query.qtype())
        || query.qtype() == wire::qtype::OPT;
    is_refused.then_some(Rcode::Refused)
}

/// `name` before `behind`; `None` when that is no name.
fn joined(name: NameRef<'_>, behind: NameRef<'_>) -> Option<DomainName> {
    let (_, labels) = name.as_wire().split_last()?;
    DomainName::from_wire(&[labels, behind.as_wire()].concat()).ok()
}

/// A query that waits for its answer, also when its task is ended.
pub(super) struct InFlight {
    all: Arc<AtomicU32>,
    _of_client: Waiting,
}

impl InFlight {
    /// `None`: as many as may be are waiting already.
    fn begin(all: &Arc<AtomicU32>, of_client: Waiting) -> Option<Self> {
        if IN_FLIGHT_MAX <= all.fetch_add(1, Ordering::Relaxed) {
            all.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self { all: Arc::clone(all), _of_client: of_client })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}
