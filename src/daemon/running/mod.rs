//! The running daemon: its parts, started in the order in which they need each other, and stopped.

mod about;
mod reload;
mod wishes;

pub(super) use wishes::refused;

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use rustix::process::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::cache::{self, KeptAnswers};
use super::devices::Devices;
use super::events::Events;
use super::hosts::Hosts;
use super::inherited::Inherited;
use super::listeners::{Listeners, Unavailable};
use super::lists::Added;
use super::local::LocalNames;
use super::{access, data_dir, presence, socket, trackers, watchdog};
use crate::access::Access;
use crate::cli::Options;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::feed::{Catalogues, Feed, HostLookup};
use crate::history::{History, HistoryOptions};
use crate::metrics::Metrics;
use crate::policy::LivePolicy;
use crate::resolve::Resolver;
use crate::server::Responder;
use crate::tracker::{self, Catalogue, LiveCatalogue, Part};
use crate::web;
use reload::{feed_options, host_names};
use wishes::Grants;

/// How often an address that could not be had is tried again.
const SEEK_PAUSE: Duration = Duration::from_secs(5);
/// How long queries in flight may take when the daemon stops.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// The history's file, in the data directory.
const HISTORY_FILE: &str = "history.sqlite3";

/// The running daemon: every part, and what was last read from the configuration.
pub(super) struct Running {
    options: Options,
    pub(super) config: tokio::sync::Mutex<Config>,
    /// Locked after `config`.
    pub(super) added: tokio::sync::Mutex<Added>,
    data_dir: Option<PathBuf>,
    /// Held to the end: see [`data_dir::DataDir::lock`].
    _data_lock: Option<File>,
    built_in: Arc<Part>,
    pub(super) policy: Arc<LivePolicy>,
    pub(super) devices: Arc<Devices>,
    local: Arc<LocalNames>,
    resolver: Arc<Resolver>,
    kept_answers: KeptAnswers,
    responder: Arc<Responder>,
    history: History,
    events: Events,
    metrics: Arc<Metrics>,
    pub(super) feed: Feed,
    pub(super) catalogues: Catalogues,
    listeners: Listeners,
    /// The names under which the page may be visited.
    page_names: Arc<ArcSwap<Vec<String>>>,
    /// Who may use the page.
    access: Arc<Access>,
    tls: Arc<web::Tls>,
    monitoring_from: Arc<ArcSwap<Vec<IpNet>>>,
    /// The command line's socket, where it could be bound.
    socket: ArcSwap<Option<PathBuf>>,
    /// Problems of the start, which stay until the next one.
    start_problems: Vec<String>,
    /// What was wrong when the configuration was read again.
    reload_problem: ArcSwap<Option<String>>,
    /// What is wrong with the file of added lists.
    added_problem: ArcSwap<Option<String>>,
}

/// The signals that are acted on (signal(7)).
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes them from now on: one that comes while lists are compiled waits, and a SIGHUP does not end the process.
    pub(super) fn take() -> anyhow::Result<Self> {
        let take = |kind| signal(kind).context("watching for signals");
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            hangup: take(SignalKind::hangup())?,
        })
    }
}

impl Running {
    /// Starts every part in the order in which they need each other. Upstreams are asked on a runtime of their own.
    pub(super) async fn start(
        options: Options,
        config: Config,
        inherited: Inherited,
        resolving: &Handle,
    ) -> anyhow::Result<Arc<Self>> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let data = data_dir::prepare(&config)?;
        let mut start_problems: Vec<String> = data.problem.into_iter().collect();
        start_problems.extend(data.path.as_deref().map(data_dir::restore_cut).unwrap_or_default());
        for problem in &start_problems {
            error!("{problem}");
        }
        let (built_in, mistakes) = Part::parse(tracker::BUILT_IN);
        for mistake in mistakes {
            warn!("the built-in list: {mistake}");
        }
        let built_in = Arc::new(built_in);
        let catalogue = Catalogue::new(&[&built_in], &[]);
        let catalogue = Arc::new(LiveCatalogue::new(catalogue));
        for warning in config.warnings() {
            warn!("{warning}");
        }
        inherited.warn_of_unused(&config);
        raise_file_limit();
        let metrics = Arc::new(Metrics::default());
        let live = web::LiveViews::default();
        let policy = Arc::new(LivePolicy::default());
        policy.update(|policy| {
            policy.blocking = config.blocking;
            policy.answers = config.answers.clone();
        });
        let devices = Arc::new(Devices::open(&config, data.path.as_deref()));
        let local = Arc::new(LocalNames::open(&config, &devices));
        let events =
            Events::new(Arc::clone(&metrics), live.clone(), Arc::clone(&devices), Arc::clone(&clock));
        events.set_privacy(config.history.privacy);
        let history = History::open(
            history_options(&config, data.path.as_deref()),
            Arc::clone(&catalogue),
            devices.live(),
            Arc::clone(&clock),
            events.source(),
        );
        events.gather_regularly(history.clone());
        let resolver = {
            let _entered = resolving.enter();
            Arc::new(Resolver::new(&config.resolve, Arc::clone(&clock)))
        };
        let kept_answers = KeptAnswers::new(&resolver, data.path.as_deref());
        kept_answers.load(config.resolve.cache.keep).await;
        let access = config.server.access.clone();
        let responder = Responder::new(
            Arc::clone(&clock),
            devices.live(),
            Arc::clone(&policy),
            local.live(),
            Arc::clone(&resolver),
            Arc::new(events.clone()),
            access,
        );
        let responder = Arc::new(responder);
        let added = Added::open(data.path.as_deref());
        let feed_options = feed_options(&config, &added, data.path.clone(), &built_in);
        let hosts = Arc::new(Hosts { resolver: Arc::clone(&resolver), local: local.live() });
        let feed =
            Feed::start(feed_options, Arc::clone(&policy), Arc::clone(&hosts) as _, Arc::clone(&clock)).await;
        let catalogues = Catalogues::start(
            trackers::options(&config, data.path.clone(), &built_in),
            Arc::clone(&catalogue),
            Arc::clone(&hosts) as Arc<dyn HostLookup>,
            Arc::clone(&clock),
        );
        let started = clock.now();
        let page_names = Arc::new(ArcSwap::from_pointee(host_names(&config)));
        let access = Access::open(data.path.as_deref(), Arc::clone(&clock));
        let monitoring_from = Arc::new(ArcSwap::from_pointee(config.web.monitoring_from.clone()));
        let tls = Arc::<web::Tls>::default();
        tls.begin(config.web.tls.as_ref());
        tokio::spawn(Arc::clone(&tls).watch());
        let mut api = axum::Router::new();
        let running = Arc::new_cyclic(|running: &Weak<Self>| {
            let about = running.clone();
            let (cached, there) = (Arc::clone(&resolver), Arc::clone(&devices));
            let parts = Arc::new(web::Parts {
                history: history.clone(),
                feed: feed.clone(),
                catalogues: catalogues.clone(),
                policy: Arc::clone(&policy),
                local: local.live(),
                devices: devices.live(),
                catalogue: Arc::clone(&catalogue),
                live,
                control: Arc::new(Grants(running.clone())),
                clock,
                time_zone: TimeZone::system(),
                started,
                about: Arc::new(move || about.upgrade().map(|running| running.about()).unwrap_or_default()),
                host_names: Arc::clone(&page_names),
                access: Arc::clone(&access),
                monitoring_from: Arc::clone(&monitoring_from),
                presence: Arc::new(move |keys| there.presence(keys)),
                cache: Arc::new(move || cache::status(&cached)),
            });
            api = web::control_router(Arc::clone(&parts));
            Self {
                listeners: Listeners::new(
                    inherited,
                    Arc::clone(&responder),
                    web::router(parts),
                    Arc::clone(&tls),
                ),
                options,
                data_dir: data.path,
                _data_lock: data.lock,
                built_in,
                policy,
                devices,
                local,
                resolver,
                kept_answers,
                responder,
                history,
                events,
                metrics,
                feed,
                catalogues,
                page_names,
                access,
                tls,
                monitoring_from,
                socket: ArcSwap::default(),
                start_problems,
                reload_problem: ArcSwap::default(),
                config: tokio::sync::Mutex::new(config),
                added_problem: ArcSwap::from_pointee(added.problem()),
                added: tokio::sync::Mutex::new(added),
            }
        });
        running.listen(api).await?;
        Ok(running)
    }

    /// Opens the doors, the command line's first: it tells whether another daemon uses this directory.
    async fn listen(self: &Arc<Self>, api: axum::Router) -> anyhow::Result<()> {
        if let Some(path) = socket::path(self.data_dir.as_deref()) {
            match socket::bind(&path) {
                Ok(socket) => {
                    self.listeners.serve_socket(socket, api);
                    self.socket.store(Arc::new(Some(path)));
                }
                Err(error) => warn!("the command line can't speak to this daemon: {error:#}"),
            }
        }
        self.watch_devices();
        self.keep_answers();
        let config = self.config.lock().await;
        let bound = self.listeners.bind(&config, Unavailable::Missing).await?;
        self.listeners.commit(bound, &config);
        self.seek_missing_addresses();
        access::tell_code(&self.access, &config);
        Ok(())
    }

    /// Keeps the table of devices as the network shows it.
    fn watch_devices(&self) {
        let responder = Arc::downgrade(&self.responder);
        tokio::spawn(Arc::clone(&self.devices).watch_neighbours(move |observed| {
            if let Some(responder) = responder.upgrade() {
                responder.set_networks(observed.networks.clone());
            }
        }));
        tokio::spawn(Arc::clone(&self.devices).watch_leases());
        tokio::spawn(Arc::clone(&self.local).watch(Arc::clone(&self.devices)));
        tokio::spawn(Arc::clone(&self.devices).find_names());
        tokio::spawn(presence::look_for_silent(
            Arc::clone(&self.devices),
            self.history.clone(),
            Arc::new(SystemClock),
        ));
    }

    /// Looks now and then whether an address that was missing at the start is there: a network that comes up after us, a port
    /// that was taken.
    fn seek_missing_addresses(self: &Arc<Self>) {
        let (running, some_missing) = (Arc::downgrade(self), self.listeners.some_missing());
        tokio::spawn(async move {
            loop {
                some_missing.notified().await;
                sleep(SEEK_PAUSE).await;
                let Some(running) = running.upgrade() else { return };
                let config = running.config.lock().await;
                running.listeners.seek_missing(&config).await;
            }
        });
    }

    /// Writes the answers that are kept down now and then, where they are to last.
    fn keep_answers(self: &Arc<Self>) {
        let running = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                sleep(cache::SAVE_PAUSE).await;
                let Some(running) = running.upgrade() else { return };
                running.save_answers().await;
            }
        });
    }

    async fn save_answers(&self) {
        let keep = self.config.lock().await.resolve.cache.keep;
        self.kept_answers.save(keep).await;
    }

    /// Tells systemd, then waits for signals until one says to stop.
    pub(super) async fn until_stopped(self: Arc<Self>, signals: Signals) -> anyhow::Result<()> {
        let Signals { mut terminate, mut interrupt, mut hangup } = signals;
        let reloads = self.reload_when_notified();
        let watchdog = tokio::spawn(watchdog::feed(Arc::downgrade(&self)));
        self.notify_ready();
        info!("ready");
        let mut failed = None;
        while failed.is_none() {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                // Without them the daemon would look well and be none; systemd starts it again.
                () = self.history.ended() => failed = Some("the history's thread ended"),
                () = self.feed.ended() => failed = Some("the task of the lists ended"),
                _ = hangup.recv() => reloads.notify_one(),
            }
        }
        watchdog.abort();
        self.stop().await;
        match failed {
            None => Ok(()),
            Some(what) => anyhow::bail!(
                "{what} by itself, which is a mistake in pixelsink; please report it with the log"
            ),
        }
    }

    /// Reloads one at a time, in a task of its own: a storm of signals is one reload more, and none holds up the end.
    fn reload_when_notified(self: &Arc<Self>) -> Arc<Notify> {
        let wanted = Arc::new(Notify::new());
        let (running, notified) = (Arc::downgrade(self), Arc::clone(&wanted));
        tokio::spawn(async move {
            loop {
                notified.notified().await;
                let Some(running) = running.upgrade() else { return };
                // What went wrong is in the log and on the page already.
                let _ = running.reload().await;
            }
        });
        wanted
    }

    /// Tells systemd that everything is as it should be, and where.
    fn notify_ready(&self) {
        let listed = |addresses: Vec<SocketAddr>| {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        let (dns, page) = (listed(self.dns_addresses()), listed(self.listeners.page_addresses()));
        watchdog::notify(&[
            NotifyState::Ready,
            NotifyState::Status(&format!("answering DNS on {dns}; the page is on {page}")),
        ]);
    }

    /// What answers questions.
    pub(super) const fn responder(&self) -> &Arc<Responder> {
        &self.responder
    }

    /// The addresses on which queries are answered.
    pub(super) fn dns_addresses(&self) -> Vec<SocketAddr> {
        self.listeners.dns_addresses()
    }

    /// Lets queries in flight end, closes the doors, writes the history.
    async fn stop(&self) {
        info!("stopping");
        watchdog::notify(&[NotifyState::Stopping]);
        let begun = Instant::now();
        while 0 < self.responder.in_flight() && begun.elapsed() < DRAIN_MAX {
            sleep(Duration::from_millis(10)).await;
        }
        self.listeners.close().await;
        self.events.settle().await;
        self.save_answers().await;
        if let Err(error) = self.history.close().await {
            error!(%error, "the history could not be written");
        }
        if let Some(path) = self.socket.load().as_ref() {
            let _ = std::fs::remove_file(path);
        }
        info!("stopped");
    }
}

/// Takes as many open files as we may have: each question that waits for an upstream holds a socket or two.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "the limit of open files stays as it is");
    }
}

fn history_options(config: &Config, data_dir: Option<&Path>) -> HistoryOptions {
    let history = config.history;
    HistoryOptions {
        file: data_dir.map(|directory| directory.join(HISTORY_FILE)),
        flush_interval: history.flush,
        events_kept: history.events,
        counts_kept: history.counts,
        size_max: history.size_max,
    }
}
