//! The running daemon.

use std::fs::File;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
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
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use super::cache::{self, KeptAnswers};
use super::devices::Devices;
use super::events::Events;
use super::hosts::Hosts;
use super::inherited::Inherited;
use super::listeners::{Listeners, Unavailable};
use super::lists::Added;
use super::local::LocalNames;
use super::{access, counters, data_dir, erase, presence, socket, trackers, watchdog};
use crate::access::Access;
use crate::cli::{Options, load_config};
use crate::clock::{Clock, SystemClock};
use crate::command::{Command, Done, Erasure, FlushedName, Refused};
use crate::config::{BUILT_IN_LIST, Config, DOH_LIST, HistorySection};
use crate::device::DeviceKey;
use crate::feed::{Catalogues, Feed, FeedError, FeedOptions, HostLookup, Origin, SourceOptions};
use crate::history::{self, History, HistoryOptions};
use crate::list::{Action, Rule, Scope};
use crate::metrics::Metrics;
use crate::name::DomainName;
use crate::policy::LivePolicy;
use crate::resolve::{Flush, Resolver, UpstreamStatus};
use crate::server::Responder;
use crate::tracker::{self, Catalogue, LiveCatalogue, Part};
use crate::web;

/// How often an address that could not be had is tried again.
const SEEK_PAUSE: Duration = Duration::from_secs(5);
/// How long queries in flight may take when the daemon stops.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// How long `/metrics` waits for the history.
const HISTORY_PATIENCE: Duration = Duration::from_secs(1);
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

    /// Reads the configuration again. When it can't be used, everything stays as it is.
    async fn reload(&self) -> Result<Done, Refused> {
        watchdog::notify_reloading();
        let reloaded = self.reload_locked().await;
        self.notify_ready();
        // Whether they are to last may have changed.
        self.save_answers().await;
        reloaded
    }

    async fn reload_locked(&self) -> Result<Done, Refused> {
        let mut current = self.config.lock().await;
        // A file that was there and is gone for a moment is not a wish for the defaults.
        let loaded = match &current.file {
            Some(file) => {
                settled(file).await;
                Config::reload(file)
            }
            None => load_config(&self.options),
        };
        let reloaded = match loaded {
            Ok(config) => self.put_in_force(config).await,
            Err(error) => Err(anyhow::Error::new(error)),
        };
        match reloaded {
            Ok(config) => {
                let restart = if needs_restart(&current, &config) {
                    " What stands in [history] and data_dir takes effect at the next start."
                } else {
                    ""
                };
                *current = config;
                self.reload_problem.store(Arc::default());
                info!("the configuration was read again.{restart}");
                Ok(Done(format!("The configuration was read again and is in force.{restart}")))
            }
            Err(refused) => {
                self.listeners.restore(&current).await;
                let problem = format!(
                    "The configuration was not taken over; the one before stays in force: {refused:#}"
                );
                error!("{problem}");
                self.reload_problem.store(Arc::new(Some(problem.clone())));
                Err(Refused::Failed(problem))
            }
        }
    }

    async fn put_in_force(&self, config: Config) -> anyhow::Result<Config> {
        // First what can fail; until everything is bound nothing has changed.
        let certificate = web::Tls::load(config.web.tls.as_ref())?;
        let bound = self.listeners.bind(&config, Unavailable::Refused).await?;
        self.monitoring_from.store(Arc::new(config.web.monitoring_from.clone()));
        self.tls.put_in_force(certificate);
        self.listeners.commit(bound, &config);
        access::tell_code(&self.access, &config);
        self.policy.update(|policy| {
            policy.blocking = config.blocking;
            policy.answers = config.answers.clone();
        });
        self.events.set_privacy(config.history.privacy);
        self.resolver.reconfigure(&config.resolve);
        self.responder.set_access(config.server.access.clone());
        for warning in config.warnings() {
            warn!("{warning}");
        }
        self.page_names.store(Arc::new(host_names(&config)));
        self.devices.reconfigure(&config);
        self.local.reconfigure(&config, &self.devices);
        let mut added = self.added.lock().await;
        added.look();
        self.reconfigure_feed(&config, &added).await;
        let catalogues = trackers::options(&config, self.data_dir.clone(), &self.built_in);
        if let Err(error) = self.catalogues.reconfigure(catalogues).await {
            warn!(%error, "the catalogues did not take over the configuration");
        }
        Ok(config)
    }

    /// Has the lists taken over as they are configured and added now.
    pub(super) async fn reconfigure_feed(&self, config: &Config, added: &Added) {
        self.added_problem.store(Arc::new(added.problem()));
        let feed_options = feed_options(config, added, self.data_dir.clone(), &self.built_in);
        if let Err(error) = self.feed.reconfigure(feed_options).await {
            // Only when the daemon stops.
            warn!(%error, "the lists did not take over the configuration");
        }
    }

    /// The daemon as the page tells of it.
    fn about(&self) -> web::About {
        let upstreams = self.resolver.upstreams();
        let mut problems = self.start_problems.clone();
        problems.extend(self.listeners.problems());
        problems.extend(self.feed.own_problem());
        problems.extend(self.feed.accepted_problem());
        problems.extend(self.feed.unkept_problem());
        problems.extend(self.catalogues.problems());
        for stored in [&self.reload_problem, &self.added_problem] {
            problems.extend(stored.load().as_ref().clone());
        }
        problems.extend(self.devices.problems());
        problems.extend(self.access.problem());
        problems.extend(self.tls.problem());
        problems.extend(self.local.problems());
        problems.extend(upstream_problems(&upstreams));
        web::About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_file: self
                .options
                .config
                .as_ref()
                .map(|file| file.display().to_string())
                .or_else(default_file),
            data_dir: self.data_dir.as_ref().map(|directory| directory.display().to_string()),
            dns_listen: self.reachable_addresses(),
            web_listen: self.listeners.page_addresses(),
            gateways: self.devices.observed().gateways,
            upstreams: upstreams.into_iter().map(upstream_status).collect(),
            memory_bytes: counters::resident(),
            refused: counters::refused(&self.responder),
            problems,
        }
    }

    /// What `/metrics` shows.
    async fn metrics(&self) -> String {
        self.events.source().gather();
        let mut samples = counters::of_server(&self.responder);
        samples.extend(counters::of_cache(&self.resolver.cache_status()));
        samples.extend(counters::of_upstreams(&self.resolver.upstreams()));
        samples.extend(counters::of_lists(&self.feed.status()));
        // The history may wait for a disk that has stalled, which is when somebody looks at the other numbers.
        if let Ok(Ok(health)) = timeout(HISTORY_PATIENCE, self.history.health()).await {
            samples.extend(counters::of_history(&health));
        }
        samples.extend(counters::of_process());
        self.metrics.text(samples)
    }

    /// Where devices can ask: for a wildcard address, each address of this machine.
    fn reachable_addresses(&self) -> Vec<SocketAddr> {
        let observed = self.devices.observed();
        let mut addresses = Vec::new();
        for listen in self.listeners.dns_addresses() {
            if !listen.ip().is_unspecified() {
                addresses.push(listen);
                continue;
            }
            let own = observed.networks.iter().map(|network| network.addr()).filter(|address| {
                address.is_ipv4() == listen.is_ipv4() && !address.is_loopback() && !is_link_local(*address)
            });
            addresses.extend(own.map(|address| SocketAddr::new(address, listen.port())));
            addresses.push(listen);
        }
        addresses.sort_by_key(|address| (address.ip().is_unspecified(), address.ip().is_loopback()));
        addresses.dedup();
        addresses
    }

    async fn execute(&self, command: Command) -> Result<Done, Refused> {
        match command {
            Command::Allow(rule) => self.allow_own(rule).await,
            Command::Block(rule) => self.block_own(rule).await,
            Command::AllowFor { rule, duration } => self.allow_own_for(rule, duration).await,
            Command::Keep(rule) => self.keep_own(rule).await,
            Command::Forget(rule) => self.forget_own(rule).await,
            Command::Refresh(name) => {
                let lists = self.feed.refresh(name.as_deref()).await.map_err(refused)?;
                let failed: Vec<String> = lists
                    .iter()
                    .filter(|list| list.failed)
                    .filter_map(|list| Some(format!("{}: {}", list.options.name, list.problem.as_ref()?)))
                    .collect();
                if failed.is_empty() {
                    Ok(Done(match lists.as_slice() {
                        [list] => format!("{} is up to date, with {} rules.", list.options.name, list.rules),
                        lists => format!("{} lists are up to date.", lists.len()),
                    }))
                } else {
                    Err(Refused::Failed(failed.join(" ")))
                }
            }
            Command::AddList(wish) => self.add_lists(&wish).await,
            Command::RemoveList(list) => self.remove_list(&list).await,
            Command::AcceptList(list) => self.accept_list(&list).await,
            Command::AcceptRules { list, rule } => self.accept_rules(&list, rule.as_deref()).await,
            Command::RollBack { list, revision } => self.roll_back(&list, revision.as_deref()).await,
            Command::Follow(list) => self.follow(&list).await,
            Command::AddCatalogue(catalogue) => self.add_catalogue(catalogue).await,
            Command::RemoveCatalogue(catalogue) => self.remove_catalogue(catalogue).await,
            Command::RefreshCatalogue(catalogue) => self.refresh_catalogue(catalogue).await,
            Command::FlushCache(name) => self.flush_cache(name).await,
            Command::NameDevice { device, name } => self.devices.name(device, name.as_deref()),
            Command::SetDeviceKind { device, kind } => self.devices.set_kind(device, kind),
            Command::MergeDevices { from, into } => self.devices.merge(from, into),
            Command::SplitDevice(key) => self.devices.split(key),
            Command::ForgetDevice(device) => self.forget_device(device).await,
            Command::Erase(erasure) => self.erase(erasure).await,
            Command::Reload => self.reload().await,
        }
    }

    /// Forgets a device: first what happened to it, while the book still says which others it is; then what was said of it.
    async fn forget_device(&self, device: DeviceKey) -> Result<Done, Refused> {
        let device = self.devices.may_forget(device)?;
        let Done(erased) = self.erase(Erasure { device: Some(device), ..Erasure::default() }).await?;
        let Done(forgotten) = self.devices.forget(device)?;
        Ok(Done(format!("{forgotten} {erased}")))
    }

    /// Has the history forget, and the cache what it knows of the name.
    async fn erase(&self, wish: Erasure) -> Result<Done, Refused> {
        let what = erase::told(&wish, &self.devices.live().current());
        let Erasure { device, name, from, until } = wish;
        let erased = self.history.erase(history::Erasure { device, name: name.clone(), from, until }).await;
        let erased =
            erased.map_err(|error| Refused::Failed(format!("{what} could not be erased: {error}.")))?;
        let is_everything = device.is_none() && from.is_none() && until.is_none();
        if is_everything || name.is_some() {
            self.flush_cache(name.map(|name| FlushedName { name, below: true })).await?;
        }
        Ok(Done(erase::outcome(&what, &erased)))
    }

    async fn flush_cache(&self, name: Option<FlushedName>) -> Result<Done, Refused> {
        let (what, about) = match name {
            None => (Flush::All, String::new()),
            Some(FlushedName { name, below }) => {
                let about = format!(" about {name}{}", if below { " and what is below it" } else { "" });
                (Flush::Name { name, below }, about)
            }
        };
        let gone = self.resolver.flush(&what);
        // What is forgotten does not come back after a power cut either.
        self.save_answers().await;
        let answers = match gone {
            0 => return Ok(Done(format!("No answers{about} were kept."))),
            1 => "One answer".to_owned(),
            gone => format!("{gone} answers"),
        };
        let forgotten = if gone == 1 { "is" } else { "are" };
        Ok(Done(format!(
            "{answers}{about} {forgotten} forgotten. Devices may keep theirs until their time is over."
        )))
    }
}

/// Waits for whoever is saving a file: one that was written a moment ago may be there in part.
async fn settled(file: &Path) {
    const SETTLED: Duration = Duration::from_millis(100);
    const LOOKS: u32 = 20;
    for _ in 0..LOOKS {
        let modified = std::fs::metadata(file).and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|modified| modified.elapsed().ok());
        if age.is_none_or(|age| SETTLED <= age) {
            return;
        }
        sleep(SETTLED / 2).await;
    }
}

/// What is wrong with upstreams, as far as somebody has to know of it: when all fail that are asked for some names, and when it is left
/// to plain ones what encrypted ones were to answer.
fn upstream_problems(upstreams: &[UpstreamStatus]) -> Vec<String> {
    let mut problems = Vec::new();
    for pool in upstreams.chunk_by(|one, other| (&one.route, &one.group) == (&other.route, &other.group)) {
        let failing: Vec<&UpstreamStatus> =
            pool.iter().filter(|upstream| upstream.problem.is_some()).collect();
        let list = || {
            let told = |upstream: &&UpstreamStatus| {
                format!("{} ({})", upstream.address, upstream.problem.as_deref().unwrap_or_default())
            };
            failing.iter().map(told).collect::<Vec<_>>().join(", ")
        };
        let whose = pool.first().map(|upstream| (&*upstream.route, &*upstream.group));
        let (route, group) = whose.unwrap_or_default();
        let is_plain_only = pool
            .iter()
            .filter(|upstream| upstream.problem.is_none())
            .all(|upstream| !upstream.transport.is_encrypted());
        if failing.len() == pool.len() && !group.is_empty() {
            problems.push(format!("No upstream answers for the group `{group}`: {}. Nobody else is asked for its devices. Check them, or name others in groups.upstream.", list()));
        } else if failing.len() == pool.len() && route.is_empty() {
            problems.push(format!("No upstream answers: {}. What is not blocked does not resolve. Check the network, or name others in upstream.servers.", list()));
        } else if failing.len() == pool.len() {
            problems.push(format!("No upstream answers for {route}: {}. Nobody else is asked for these names. Check them, or name others in upstream.routes.", list()));
        } else if is_plain_only && failing.iter().any(|upstream| upstream.transport.is_encrypted()) {
            problems.push(format!("Upstreams fail: {}. Those that answer instead are not encrypted: others can read on the way what is asked.", list()));
        }
    }
    if upstreams.is_empty() {
        problems.push(
            "No upstream is configured. What is not blocked does not resolve. Name one in upstream.servers."
                .to_owned(),
        );
    }
    problems
}

/// An upstream, as the page tells of it.
fn upstream_status(status: UpstreamStatus) -> web::Upstream {
    let UpstreamStatus {
        address,
        route,
        group,
        answered,
        failed,
        latency_us,
        connections,
        resumed,
        problem,
        ..
    } = status;
    web::Upstream {
        address: address.to_string(),
        transport: status.transport.scheme(),
        route: (!route.is_empty()).then(|| route.to_string()),
        group: (!group.is_empty()).then(|| group.to_string()),
        answered,
        failed,
        latency_us,
        connections,
        resumed,
        problem,
    }
}

/// A wish about lists or rules that the feed refused.
pub(super) fn refused(error: FeedError) -> Refused {
    match error {
        FeedError::UnknownList(_) | FeedError::NotThere(_) => Refused::Unknown(error.to_string()),
        error => Refused::Failed(error.to_string()),
    }
}

/// Grants the wishes of the page and the command line.
struct Grants(Weak<Running>);

impl web::Control for Grants {
    fn execute(&self, command: Command) -> Pin<Box<dyn Future<Output = Result<Done, Refused>> + Send + '_>> {
        Box::pin(async move {
            let Some(running) = self.0.upgrade() else {
                return Err(Refused::Failed("the daemon is stopping".to_owned()));
            };
            running.execute(command).await
        })
    }

    fn metrics(&self) -> Pin<Box<dyn Future<Output = String> + Send + '_>> {
        Box::pin(async move {
            match self.0.upgrade() {
                Some(running) => running.metrics().await,
                None => "# EOF\n".to_owned(),
            }
        })
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

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn default_file() -> Option<String> {
    let file = Path::new(crate::config::DEFAULT_FILE);
    file.exists().then(|| file.display().to_string())
}

fn needs_restart(before: &Config, after: &Config) -> bool {
    // What is told of is chosen anew at once.
    let history = HistorySection { privacy: after.history.privacy, ..before.history };
    history != after.history || before.data_dir != after.data_dir
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

fn feed_options(config: &Config, added: &Added, data_dir: Option<PathBuf>, built_in: &Part) -> FeedOptions {
    let mut sources = Vec::new();
    if !config.builtin_levels.is_empty() {
        let entries = built_in.entries().iter().filter(|entry| config.builtin_levels.contains(&entry.level));
        let rule = |entry: &tracker::Entry| {
            let scope = if entry.exact { Scope::Exact } else { Scope::Subtree };
            Rule::plain(entry.name.clone(), scope, Action::Block, entry.line)
        };
        sources.push(SourceOptions {
            refresh: Duration::MAX,
            ..SourceOptions::new(BUILT_IN_LIST, Origin::BuiltIn(entries.map(rule).collect()))
        });
    }
    if config.bypass.doh_hosts {
        let rule = |(name, line): &(DomainName, u32)| {
            Rule::plain(name.clone(), Scope::Subtree, Action::Block, *line)
        };
        let rules = tracker::doh_hosts().iter().map(rule);
        sources.push(SourceOptions {
            refresh: Duration::MAX,
            ..SourceOptions::new(DOH_LIST, Origin::BuiltIn(rules.collect()))
        });
    }
    sources.extend(added.with_configured(config));
    FeedOptions {
        data_dir,
        sources,
        own: config.own_rules.clone(),
        own_file: config.own_rules_name(),
        size_max: config.list_size_max,
        timeout: config.list_timeout,
        keep_revisions: config.keep_revisions,
    }
}

/// The names under which the page may be visited: those of the configuration, and the machine's own.
fn host_names(config: &Config) -> Vec<String> {
    let own = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    config.web.host_names.iter().cloned().chain((!own.is_empty()).then_some(own)).collect()
}
