//! Where upstreams with a name are: asked of a few servers whose addresses are known, over plain DNS.
//!
//! It is asked for names of upstreams only. That the answer may be forged is no matter: a wrong host has no certificate for the name.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use tokio::time::timeout;
use tracing::debug;

use super::message::query_of;
use super::udp::{self, Heard};
use super::{Question, UpstreamSet, check};
use crate::clock::Clock;
use crate::name::DomainName;
use crate::wire::{CLASS_IN, qtype};

/// How long one of the servers may take; then the next one is asked.
const TRY_TIMEOUT: Duration = Duration::from_millis(1_200);
/// A packet that seems lost is sent again after this long.
const RESEND_AFTER: Duration = Duration::from_millis(400);
/// For how long addresses are used before they are asked for anew.
const KEPT_MIN: Duration = Duration::from_secs(60);
const KEPT_MAX: Duration = Duration::from_secs(86_400);
/// After nobody could tell, they are asked for again at the earliest after this long.
const FAILED_PAUSE: Duration = Duration::from_secs(1);

type Found = Result<Vec<IpAddr>, Arc<str>>;
type LookUp = Shared<BoxFuture<'static, Found>>;

pub(super) struct Bootstrap {
    servers: Vec<SocketAddr>,
    clock: Arc<dyn Clock>,
    known: Mutex<HashMap<DomainName, Known>>,
}

/// What is known of a name.
#[derive(Default)]
struct Known {
    /// The last addresses that were told, whether or not their time is over.
    addresses: Vec<IpAddr>,
    /// Until when they need not be asked for; `None`: at once.
    until: Option<Instant>,
    /// Why they could not be told last.
    problem: Option<Arc<str>>,
    running: Option<LookUp>,
}

impl Bootstrap {
    pub(super) fn new(servers: Vec<SocketAddr>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { servers, clock, known: Mutex::default() })
    }

    /// The addresses of a host. Those that were known are given at once, though their time may be over: the new ones are for the
    /// next connection.
    ///
    /// # Errors
    /// When nobody ever told any, in words for people.
    pub(super) async fn addresses(self: &Arc<Self>, name: &DomainName) -> Found {
        let running = {
            let mut known = self.lock();
            let known = known.entry(name.clone()).or_default();
            let now = self.clock.instant();
            if known.running.is_none() && known.until.is_some_and(|until| now < until) {
                if !known.addresses.is_empty() {
                    return Ok(known.addresses.clone());
                }
                if let Some(problem) = &known.problem {
                    return Err(Arc::clone(problem));
                }
            }
            let running = known.running.get_or_insert_with(|| self.begin(name.clone())).clone();
            if !known.addresses.is_empty() {
                return Ok(known.addresses.clone());
            }
            running
        };
        running.await
    }

    /// A task of its own: who began it may go away.
    fn begin(self: &Arc<Self>, name: DomainName) -> LookUp {
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            let outcome = this.look_up(&name).await;
            this.learn(&name, outcome)
        });
        let lost = |_| Err("the look-up of its address was lost on its way".into());
        async move { task.await.unwrap_or_else(lost) }.boxed().shared()
    }

    fn learn(&self, name: &DomainName, outcome: Result<(Vec<IpAddr>, Duration), Arc<str>>) -> Found {
        let mut all = self.lock();
        let known = all.entry(name.clone()).or_default();
        known.running = None;
        let now = self.clock.instant();
        match outcome {
            Ok((addresses, kept)) => {
                *known = Known { addresses: addresses.clone(), until: Some(now + kept), ..Known::default() };
                Ok(addresses)
            }
            Err(problem) => {
                debug!(%name, %problem, "an upstream's address can't be looked up");
                known.until = Some(now + FAILED_PAUSE);
                known.problem = Some(Arc::clone(&problem));
                if known.addresses.is_empty() { Err(problem) } else { Ok(known.addresses.clone()) }
            }
        }
    }

    async fn look_up(&self, name: &DomainName) -> Result<(Vec<IpAddr>, Duration), Arc<str>> {
        let mut problems = Vec::new();
        for &server in &self.servers {
            let of = |qtype| timeout(TRY_TIMEOUT, ask(server, name, qtype));
            let (ipv4, ipv6) = tokio::join!(of(qtype::A), of(qtype::AAAA));
            let mut addresses = Vec::new();
            let mut kept = KEPT_MAX;
            let mut problem = "it has no address";
            for outcome in [ipv4, ipv6] {
                match outcome {
                    Ok(Some(found)) => {
                        for (address, ttl) in found {
                            addresses.push(address);
                            kept = kept.min(Duration::from_secs(ttl.into()));
                        }
                    }
                    Ok(None) => problem = "an unusable answer",
                    Err(_) => problem = "no answer in time",
                }
            }
            if !addresses.is_empty() {
                return Ok((addresses, kept.max(KEPT_MIN)));
            }
            problems.push(format!("{}: {problem}", server.ip()));
        }
        let said =
            if problems.is_empty() { "`bootstrap` names nobody".to_owned() } else { problems.join(", ") };
        Err(format!(
            "the address of `{name}` can't be looked up ({said}); name its `addresses` in the table form of this upstream, or others as \
             `bootstrap`"
        )
        .into())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DomainName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The addresses of one kind with their TTLs; `None` when there is no answer that can be used.
async fn ask(server: SocketAddr, name: &DomainName, qtype: u16) -> Option<Vec<(IpAddr, u32)>> {
    let question = Question {
        name: name.clone(),
        qtype,
        qclass: CLASS_IN,
        dnssec_ok: false,
        checking_disabled: false,
        set: UpstreamSet::EVERYBODY,
    };
    let heard = udp::Sockets::default().ask(server, &question, true, &[RESEND_AFTER], false).await.ok()?;
    let Heard::Answer(answer) = heard else { return None };
    if !check::is_about_the_name(answer.metadata.response_code) {
        return None;
    }
    let answer: Message = check::keep_what_answers(answer, &query_of(&question).ok()?, false)?;
    let address = |data: &RData| match data {
        RData::A(address) => Some(IpAddr::from(address.0)),
        RData::AAAA(address) => Some(IpAddr::from(address.0)),
        _ => None,
    };
    let found = answer.answers.iter().filter_map(|record| Some((address(&record.data)?, record.ttl)));
    Some(found.collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hickory_proto::op::Message;
    use hickory_proto::rr::{Record, rdata};
    use tokio::net::UdpSocket;

    use super::super::testkit::{ManualClock, closed_port, question};
    use super::*;

    /// A server that knows one address for every name, and how often it was asked.
    async fn server() -> (SocketAddr, Arc<AtomicUsize>, tokio::task::JoinHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut packet).await {
                counted.fetch_add(1, Ordering::SeqCst);
                let query = Message::from_vec(&packet[..length]).unwrap();
                let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
                answer.add_queries(query.queries.iter().cloned());
                if u16::from(query.queries[0].query_type()) == qtype::A {
                    let data = RData::A(rdata::A::new(192, 0, 2, 1));
                    answer.add_answer(Record::from_rdata(query.queries[0].name().clone(), 300, data));
                }
                socket.send_to(&answer.to_vec().unwrap(), client).await.unwrap();
            }
        });
        (address, asked, serving)
    }

    #[tokio::test]
    async fn addresses_are_kept_for_their_time_and_longer_when_nobody_tells_new_ones() {
        let (address, asked, serving) = server().await;
        let clock = Arc::new(ManualClock::new());
        let (closed, _holder) = closed_port();
        let bootstrap = Bootstrap::new(vec![closed, address], Arc::clone(&clock) as Arc<dyn Clock>);
        let name = question("dns.example").name;
        let expected = Ok(vec![IpAddr::from([192, 0, 2, 1])]);
        let (one, other) = tokio::join!(bootstrap.addresses(&name), bootstrap.addresses(&name));
        assert_eq!((&one, &other), (&expected, &expected));
        assert_eq!(asked.load(Ordering::SeqCst), 2, "A and AAAA, once");
        clock.pass(Duration::from_secs(299));
        assert_eq!(bootstrap.addresses(&name).await, expected);
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        serving.abort();
        clock.pass(Duration::from_secs(2));
        for _ in 0..3 {
            assert_eq!(bootstrap.addresses(&name).await, expected, "they stay");
        }
    }

    #[tokio::test]
    async fn when_nobody_can_tell_it_is_said_what_to_do() {
        let clock = Arc::new(ManualClock::new());
        let (closed, _holder) = closed_port();
        let bootstrap = Bootstrap::new(vec![closed], clock as Arc<dyn Clock>);
        let error = bootstrap.addresses(&question("dns.example").name).await.unwrap_err();
        assert!(error.contains("`dns.example`") && error.contains("`addresses`"), "{error}");
    }
}
