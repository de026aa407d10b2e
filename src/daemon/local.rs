//! The names that this machine answers for itself, put together whenever the configuration, a hosts file or a lease changes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::warn;

use super::changed_file::{Seen, read_if_changed};
use super::devices::Devices;
use crate::config::{Config, LocalSection};
use crate::local::{Builder, Bypass, HOSTS_SIZE_MAX, HostsFile, LiveLocal, read_hosts};
use crate::name::DomainName;

/// How often hosts files are looked at, where there are any; they are read only when they changed.
const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// So long is waited after a change of devices, since one seldom comes alone.
const SETTLE: Duration = Duration::from_millis(500);

/// What is known of names of the house, and the table in force.
pub(super) struct LocalNames {
    live: Arc<LiveLocal>,
    state: Mutex<State>,
    reconfigured: Notify,
}

/// What the table is built from.
#[derive(Default)]
struct State {
    section: LocalSection,
    bypass: Bypass,
    forwarded: Vec<DomainName>,
    files: HashMap<PathBuf, File>,
    leases: Vec<(String, IpAddr)>,
}

/// A hosts file as it was when it was read last.
#[derive(Default)]
struct File {
    seen: Option<Seen>,
    hosts: HostsFile,
    problem: Option<String>,
}

impl LocalNames {
    /// Reads what there is; from then on the table is in force.
    pub(super) fn open(config: &Config, devices: &Devices) -> Self {
        let names =
            Self { live: Arc::default(), state: Mutex::new(State::default()), reconfigured: Notify::new() };
        names.take_config(config);
        names.look(devices, true);
        names
    }

    /// The table in force.
    pub(super) fn live(&self) -> Arc<LiveLocal> {
        Arc::clone(&self.live)
    }

    /// Takes over a changed configuration.
    pub(super) fn reconfigure(&self, config: &Config, devices: &Devices) {
        self.take_config(config);
        self.look(devices, true);
        self.reconfigured.notify_one();
    }

    /// Keeps the table as hosts files and leases are.
    pub(super) async fn watch(self: Arc<Self>, devices: Arc<Devices>) {
        loop {
            let has_files = !self.lock().section.hosts.is_empty();
            tokio::select! {
                () = sleep(LOOK_PAUSE), if has_files => {}
                () = self.reconfigured.notified() => {}
                () = devices.until_published() => sleep(SETTLE).await,
            }
            let (names, devices) = (Arc::clone(&self), Arc::clone(&devices));
            // Files may lie on a slow disk.
            let _ = spawn_blocking(move || names.look(&devices, false)).await;
        }
    }

    /// What is wrong, for the page.
    pub(super) fn problems(&self) -> Vec<String> {
        self.lock().files.values().filter_map(|file| file.problem.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_config(&self, config: &Config) {
        let mut state = self.lock();
        state.section = config.local.clone();
        state.bypass = config.bypass;
        state.forwarded = forwarded(config);
    }

    /// Looks at files and leases, and puts another table in force when there is something new or it must be.
    fn look(&self, devices: &Devices, must: bool) {
        let mut is_changed = must;
        let paths = self.lock().section.hosts.clone();
        self.lock().files.retain(|path, _| paths.contains(path));
        for path in paths {
            let seen = self.lock().files.get(&path).and_then(|file| file.seen);
            let read = read_if_changed(&path, seen, HOSTS_SIZE_MAX as u64)
                .map(|changed| changed.map(|(seen, text)| (seen, read_hosts(&text))));
            let mut state = self.lock();
            let file = state.files.entry(path.clone()).or_default();
            let before = file.problem.take();
            match read {
                Ok(None) => file.problem = before,
                Ok(Some((seen, hosts))) => {
                    is_changed = true;
                    file.problem = told(&path, &hosts);
                    (file.seen, file.hosts) = (Some(seen), hosts);
                    file.problem.iter().for_each(|problem| warn!("{problem}"));
                }
                Err(error) => {
                    let problem = format!(
                        "The hosts file {} can't be read ({error}); names that were known before stay. Mend it, or take it out of local.hosts.",
                        path.display()
                    );
                    if before.as_ref() != Some(&problem) {
                        warn!("{problem}");
                    }
                    // It is read anew when it is back, also with the time that it had.
                    (file.seen, file.problem) = (None, Some(problem));
                }
            }
        }
        let mut state = self.lock();
        let leases = if state.section.leases { devices.lease_names() } else { Vec::new() };
        is_changed |= leases != state.leases;
        state.leases = leases;
        if is_changed {
            self.live.publish(state.table());
        }
    }
}

impl State {
    fn table(&self) -> crate::local::Local {
        let section = &self.section;
        let mut builder = Builder::new(section.domain.clone(), section.ttl_secs, self.bypass);
        if !section.bare_names {
            builder.forward_bare_names();
        }
        self.forwarded.iter().for_each(|name| builder.forward(name));
        for (record, line) in &section.records {
            // They went together when the configuration was read.
            let _ = builder.written(record, *line);
        }
        for path in &section.hosts {
            if let Some(file) = self.files.get(path) {
                builder.hosts(&path.display().to_string().into(), &file.hosts);
            }
        }
        self.leases.iter().for_each(|(name, address)| builder.lease(name, *address));
        builder.build()
    }
}

/// The names that others are asked for though they seem private, since a person says so: those of routes, and those that go to
/// all upstreams.
fn forwarded(config: &Config) -> Vec<DomainName> {
    let routed = config.resolve.routes.iter().flat_map(|route| &route.domains);
    config.local.forward.iter().chain(routed).cloned().collect()
}

/// What is wrong with a hosts file, in one sentence; `None`: nothing.
fn told(path: &Path, hosts: &HostsFile) -> Option<String> {
    let first = hosts.problems.first()?;
    let others = match hosts.mistakes {
        1 => String::new(),
        mistakes => format!("; {} other words are wrong too", mistakes - 1),
    };
    Some(format!("{}, {first}{others}. The other lines hold.", path.display()))
}
