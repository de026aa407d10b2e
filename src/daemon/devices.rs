//! The devices of the house: what the configuration, the book and the network say of them, put together whenever any of it
//! changes; and the wishes of a person about them.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::changed_file::{Seen, read_if_changed};
use super::presence::Presences;
use crate::command::{Done, Refused};
use crate::config::{BookFile, Config};
use crate::device::{
    Book, DeviceGroup, DeviceKey, DeviceKind, DeviceTable, FoundName, Knowledge, KnownDevice, LiveDevices,
    Mac, Member, NameSource, NamedDevice, Presence, tidy_name,
};
use crate::discovery::hostnames::{ask_device, ask_router};
use crate::discovery::leases::{self, Lease};
use crate::discovery::vendors::vendors;
use crate::discovery::{self, DiscoveryOptions, Observed};
use crate::feed;

/// After the kernel could not be asked, it is asked again with this pause.
const DISCOVERY_PAUSE: Duration = Duration::from_secs(30);
/// How often files of leases are looked at; they are read only when they changed.
const LEASES_PAUSE: Duration = Duration::from_secs(10);
/// Names that leases gave are kept for so many devices that are away.
const LEASE_NAMES_MAX: usize = 32_768;
/// So many addresses are asked for their names at once, each for a second or two: a home is through in a moment, and no
/// network is flooded.
const ASKED_AT_ONCE: usize = 4;
/// A device that told its name is asked again after this long, one that did not after that.
const NAME_KEPT: Duration = Duration::from_secs(3600);
const SILENCE_KEPT: Duration = Duration::from_secs(15 * 60);
/// So many devices behind forwarders are told apart by more than their MAC.
const TOLD_MAX: usize = 4096;
/// Answers are kept for so many devices.
const HEARD_MAX: usize = 4096;

/// All that is known of devices, and the table in force.
pub(super) struct Devices {
    live: Arc<LiveDevices>,
    state: Mutex<State>,
    /// Rung when there may be somebody new.
    changed: Notify,
    /// Rung when other files of leases may be wanted.
    reconfigured: Notify,
    /// Rung when another table is in force.
    published: Notify,
}

/// What the table is built from.
#[derive(Default)]
struct State {
    named: Vec<NamedDevice>,
    groups: Vec<Arc<DeviceGroup>>,
    /// The configuration's file, for who has to change something there.
    config_file: Arc<str>,
    options: DiscoveryOptions,
    observed: Observed,
    presences: Presences,
    /// MACs that forwarders told.
    told: HashSet<Mac>,
    /// Where the book is kept; `None`: in memory.
    book_path: Option<PathBuf>,
    book: BookFile,
    book_problem: Option<String>,
    discovery_problem: Option<String>,
    leases: LeaseFiles,
    heard: HashMap<DeviceKey, Heard>,
    /// Every MAC that was looked up, also those that nobody knows.
    vendors: HashMap<Mac, Arc<str>>,
    looked_up: HashSet<Mac>,
}

/// What was heard when a device was asked for.
struct Heard {
    at: Instant,
    name: Option<FoundName>,
}

/// The names in files of leases.
#[derive(Default)]
struct LeaseFiles {
    files: HashMap<PathBuf, LeaseFile>,
    /// They outlast the lease: a device keeps its name when it comes back.
    by_mac: HashMap<Mac, Arc<str>>,
}

#[derive(Default)]
struct LeaseFile {
    seen: Option<Seen>,
    leases: Vec<Lease>,
    problem: Option<String>,
}

impl Devices {
    /// Reads the book; where it is broken, the copy of what it last said.
    pub(super) fn open(config: &Config, data_dir: Option<&Path>) -> Self {
        let mut state =
            State { book_path: data_dir.map(|data_dir| data_dir.join("devices.toml")), ..State::default() };
        state.take_config(config);
        state.look();
        if let (Some(path), Some(_)) = (&state.book_path, &state.book_problem) {
            let last = std::fs::read_to_string(feed::last_good(path)).ok();
            if let Some(last) = last.and_then(|text| BookFile::parse(&text, path).ok()) {
                state.book = last;
            }
        }
        let devices = Self {
            live: Arc::default(),
            state: Mutex::new(state),
            changed: Notify::new(),
            reconfigured: Notify::new(),
            published: Notify::new(),
        };
        devices.publish(&devices.lock());
        devices
    }

    /// The table in force.
    pub(super) fn live(&self) -> Arc<LiveDevices> {
        Arc::clone(&self.live)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, state: &State) {
        self.live.publish(state.table());
        self.changed.notify_one();
        self.published.notify_one();
    }

    /// Returns when another table has been put in force since the last time.
    pub(super) async fn until_published(&self) {
        self.published.notified().await;
    }

    /// Takes over the configuration, and what a person wrote into the book.
    pub(super) fn reconfigure(&self, config: &Config) {
        let mut state = self.lock();
        state.take_config(config);
        state.look();
        self.publish(&state);
        self.reconfigured.notify_one();
    }

    /// What is wrong, for the page.
    pub(super) fn problems(&self) -> Vec<String> {
        let state = self.lock();
        let leases = state.leases.files.values().filter_map(|file| file.problem.clone());
        let others = [&state.book_problem, &state.discovery_problem].into_iter().flatten().cloned();
        others.chain(leases).chain(state.unknown_members(&self.live.current())).collect()
    }

    /// What the kernel knows.
    pub(super) fn observed(&self) -> Observed {
        self.lock().observed.clone()
    }

    /// When the kernel was sure that a device with these keys is there.
    pub(super) fn presence(&self, keys: &[DeviceKey]) -> Option<Presence> {
        self.lock().presences.of(keys, Instant::now())
    }

    /// Keeps the table as the kernel's neighbour table has it; `told` hears of each change.
    pub(super) async fn watch_neighbours(self: Arc<Self>, told: impl Fn(&Observed) + Clone) {
        loop {
            let (devices, told) = (Arc::downgrade(&self), told.clone());
            let error = discovery::watch(move |mut observed| {
                told(&observed);
                let Some(devices) = devices.upgrade() else { return };
                let mut state = devices.lock();
                state.discovery_problem = None;
                state.presences.note(std::mem::take(&mut observed.reachable), Instant::now());
                if state.observed != observed {
                    state.observed = observed;
                    devices.publish(&state);
                }
            })
            .await;
            warn!("{error}");
            self.lock().discovery_problem = Some(error.to_string());
            sleep(DISCOVERY_PAUSE).await;
        }
    }

    /// Keeps the names that DHCP servers know.
    pub(super) async fn watch_leases(self: Arc<Self>) {
        loop {
            let devices = Arc::clone(&self);
            // Files may lie on a slow disk.
            let _ = spawn_blocking(move || devices.read_leases()).await;
            let _ = timeout(LEASES_PAUSE, self.reconfigured.notified()).await;
        }
    }

    fn read_leases(&self) {
        let (mut paths, well_known) = {
            let state = self.lock();
            (state.options.leases.clone(), state.options.well_known_leases)
        };
        let named = paths.len();
        if well_known {
            paths.extend(leases::WELL_KNOWN.iter().map(PathBuf::from));
        }
        let mut state = self.lock();
        let LeaseFiles { files, .. } = &mut state.leases;
        let before = files.len();
        files.retain(|path, _| paths.contains(path));
        let mut is_changed = files.len() != before;
        drop(state);
        for (number, path) in paths.into_iter().enumerate() {
            let seen = self.lock().leases.files.get(&path).and_then(|file| file.seen);
            let read = read_lease_file(&path, seen);
            let mut state = self.lock();
            match read {
                Ok(None) => {}
                Ok(Some((seen, leases))) => {
                    is_changed = true;
                    state.leases.take(&path, seen, leases);
                }
                // A well-known place where nothing is says nothing.
                Err(error) if number < named || error.kind() != io::ErrorKind::NotFound => {
                    let problem = format!(
                        "The leases in {} can't be read ({error}); names that were known before stay. See [discovery].",
                        path.display()
                    );
                    let file = state.leases.files.entry(path).or_default();
                    if file.problem.as_ref() != Some(&problem) {
                        warn!("{problem}");
                        // A place that nobody named is only worth a line in the log.
                        file.problem = Some(problem).filter(|_| number < named);
                    }
                }
                Err(_) => {}
            }
        }
        if is_changed {
            self.publish(&self.lock());
        }
    }

    /// The names that DHCP servers know, each with an address. Who has a name keeps it: a newcomer can't take it away.
    pub(super) fn lease_names(&self) -> Vec<(String, IpAddr)> {
        let state = self.lock();
        let owners: HashMap<IpAddr, Mac> = state.observed.neighbours.iter().copied().collect();
        let mut files: Vec<_> = state.leases.files.iter().collect();
        files.sort_by_key(|(path, _)| *path);
        let mut holders: HashMap<String, Option<Mac>> = HashMap::new();
        let mut names = Vec::new();
        for lease in files.into_iter().flat_map(|(_, file)| &file.leases) {
            let Some(address) = lease.address else { continue };
            let is_anothers =
                lease.mac.is_some() && owners.get(&address).is_some_and(|mac| Some(*mac) != lease.mac);
            let holder = *holders.entry(lease.name.to_ascii_lowercase()).or_insert(lease.mac);
            let is_held = holder.is_some() && lease.mac.is_some() && holder != lease.mac;
            if !is_anothers && !is_held {
                names.push((lease.name.clone(), address));
            }
        }
        names
    }

    /// Takes notice of MACs that forwarders told.
    pub(super) fn meet(&self, macs: Vec<Mac>) {
        let mut state = self.lock();
        if TOLD_MAX < state.told.len() + macs.len() {
            state.told.clear();
        }
        state.told.extend(macs);
        self.publish(&state);
    }

    /// Looks up who made devices that are new, and asks those that have no name.
    pub(super) async fn find_names(self: Arc<Self>) {
        loop {
            // Somebody who was silent may speak after a while.
            let _ = timeout(SILENCE_KEPT, self.changed.notified()).await;
            self.look_up_vendors().await;
            while self.ask_some().await {}
        }
    }

    async fn look_up_vendors(&self) {
        let macs: Vec<Mac> = {
            let state = self.lock();
            let on_network = state.observed.neighbours.iter().map(|(_, mac)| *mac);
            let told = state.told.iter().copied();
            let keys = state.book.book().entries().iter().flat_map(|entry| &entry.keys);
            let said = keys.filter_map(|key| if let DeviceKey::Mac(mac) = key { Some(*mac) } else { None });
            let configured = state.named.iter().flat_map(|device| device.macs.iter().copied());
            let all: HashSet<Mac> = on_network
                .chain(told)
                .chain(said)
                .chain(configured)
                .chain(state.leases.by_mac.keys().copied())
                .collect();
            all.into_iter().filter(|mac| !state.looked_up.contains(mac)).collect()
        };
        if macs.is_empty() {
            return;
        }
        let asked = macs.clone();
        let found = spawn_blocking(move || vendors(asked)).await.unwrap_or_default();
        let mut state = self.lock();
        // Forged MACs must not fill the memory.
        if LEASE_NAMES_MAX < state.looked_up.len() + macs.len() {
            state.looked_up.clear();
            state.vendors.clear();
        }
        state.looked_up.extend(macs);
        if !found.is_empty() {
            state.vendors.extend(found);
            self.live.publish(state.table());
        }
    }

    /// Asks a few addresses for their names; `false` when there is nobody left to ask.
    async fn ask_some(&self) -> bool {
        let (asked, observed, options) = {
            let state = self.lock();
            let asked: Vec<(DeviceKey, IpAddr)> =
                state.unnamed(&self.live.current()).take(ASKED_AT_ONCE).collect();
            (asked, Arc::new(state.observed.clone()), state.options.clone())
        };
        if asked.is_empty() || !(options.mdns || options.router_names) {
            return false;
        }
        let mut asking = JoinSet::new();
        for (key, address) in asked {
            let (observed, options) = (Arc::clone(&observed), options.clone());
            asking.spawn(async move { (key, ask(address, &observed, &options).await) });
        }
        let answers = asking.join_all().await;
        let mut state = self.lock();
        if HEARD_MAX < state.heard.len() + answers.len() {
            state.heard.retain(|_, heard| heard.name.is_some());
            if HEARD_MAX < state.heard.len() + answers.len() {
                state.heard.clear();
            }
        }
        let mut is_changed = false;
        for (key, name) in answers {
            if let Some(found) = &name {
                debug!(device = %key, name = &*found.name, from = found.source.word(), "a device has a name");
            }
            // A device that sleeps keeps the name that it told.
            let known = state.heard.get(&key).and_then(|heard| heard.name.clone());
            let name = name.or_else(|| known.clone());
            is_changed |= name != known;
            state.heard.insert(key, Heard { at: Instant::now(), name });
        }
        if is_changed {
            self.live.publish(state.table());
        }
        true
    }

    /// Calls a device by a name; by none: as it comes.
    pub(super) fn name(&self, device: DeviceKey, name: Option<&str>) -> Result<Done, Refused> {
        let name = match name.map(str::trim).filter(|name| !name.is_empty()) {
            None => None,
            Some(text) => Some(
                tidy_name(text).ok_or_else(|| unchanged("The name has nothing in it that can be seen"))?,
            ),
        };
        self.change(|state, table| {
            let device = state.changeable(table, device)?;
            let before = shown(table, device);
            let done = match &name {
                Some(name) => format!("`{before}` is called `{name}` from now on."),
                None => format!("`{before}` is called as it comes from now on."),
            };
            Ok((state.book.book().renamed(device, name.map(Arc::from)), done))
        })
    }

    /// Says what a device is.
    pub(super) fn set_kind(&self, device: DeviceKey, kind: Option<DeviceKind>) -> Result<Done, Refused> {
        self.change(|state, table| {
            let device = state.changeable(table, device)?;
            let name = shown(table, device);
            let done = match kind {
                Some(kind) => format!("`{name}` is of the kind `{kind}` from now on."),
                None => format!("`{name}` is shown as what it seems to be."),
            };
            Ok((state.book.book().with_kind(device, kind), done))
        })
    }

    /// Takes two devices for one.
    pub(super) fn merge(&self, from: DeviceKey, into: DeviceKey) -> Result<Done, Refused> {
        self.change(|state, table| {
            let (from, into) = (state.changeable(table, from)?, state.changeable(table, into)?);
            let merged = state.book.book().merged(from, into).map_err(unchanged)?;
            let done = format!(
                "`{}` is a part of `{}` from now on, with all that is remembered of it. To undo this, split {from} off.",
                shown(table, from),
                shown(table, into)
            );
            Ok((merged, done))
        })
    }

    /// Undoes [`Self::merge`].
    pub(super) fn split(&self, key: DeviceKey) -> Result<Done, Refused> {
        self.change(|state, table| {
            state.changeable(table, key)?;
            let split = state.book.book().split(key).map_err(unchanged)?;
            Ok((split, format!("{key} is a device of its own again.")))
        })
    }

    /// The device that a key means, if it may be forgotten.
    pub(super) fn may_forget(&self, device: DeviceKey) -> Result<DeviceKey, Refused> {
        let state = self.lock();
        state.changeable(&state.table(), device)
    }

    /// Forgets what was said of a device.
    pub(super) fn forget(&self, device: DeviceKey) -> Result<Done, Refused> {
        self.change(|state, table| {
            let device = state.changeable(table, device)?;
            let done = format!("What was said of `{}` is forgotten.", shown(table, device));
            Ok((state.book.book().without(device), done))
        })
    }

    /// Writes the book that `change` makes of the one in force, and tells what came of it.
    fn change(
        &self,
        change: impl FnOnce(&State, &DeviceTable) -> Result<(Book, String), Refused>,
    ) -> Result<Done, Refused> {
        let mut state = self.lock();
        // A person may have edited the file: their words are read, and are never written over.
        state.look();
        if let Some(problem) = &state.book_problem {
            return Err(Refused::Failed(format!("{problem} Nothing was changed.")));
        }
        let (next, done) = change(&state, &state.table())?;
        state.save(&next)?;
        self.publish(&state);
        Ok(Done(done))
    }
}

fn shown(table: &DeviceTable, key: DeviceKey) -> Arc<str> {
    table.identify_key(key).name
}

fn unchanged(why: impl std::fmt::Display) -> Refused {
    Refused::Failed(format!("{why}. Nothing was changed."))
}

/// Asks the device first: it knows best.
async fn ask(address: IpAddr, observed: &Observed, options: &DiscoveryOptions) -> Option<FoundName> {
    if options.mdns
        && let Some(name) = ask_device(address, observed).await
    {
        return Some(FoundName { name: name.into(), source: NameSource::Mdns });
    }
    let name = if options.router_names { ask_router(address, observed).await? } else { return None };
    Some(FoundName { name: name.into(), source: NameSource::Router })
}

impl State {
    fn take_config(&mut self, config: &Config) {
        self.named = config.devices.clone();
        self.groups.clone_from(&config.groups);
        self.options = config.discovery.clone();
        self.config_file = config.own_rules_name();
    }

    fn table(&self) -> DeviceTable {
        let owners: HashMap<IpAddr, Mac> = self.observed.neighbours.iter().copied().collect();
        let mut names: HashMap<DeviceKey, FoundName> = HashMap::new();
        for lease in self.leases.files.values().flat_map(|file| &file.leases) {
            let (Some(address), name) = (lease.address, lease.name.as_str()) else { continue };
            // An address that another device has by now is not called as the one that had it.
            let is_anothers =
                lease.mac.is_some() && owners.get(&address).is_some_and(|mac| Some(*mac) != lease.mac);
            if !is_anothers {
                let found = FoundName { name: name.into(), source: NameSource::Lease };
                names.insert(DeviceKey::Address(address.to_canonical()), found);
            }
        }
        for (mac, name) in &self.leases.by_mac {
            let found = FoundName { name: Arc::clone(name), source: NameSource::Lease };
            names.insert(DeviceKey::Mac(*mac), found);
        }
        for (key, heard) in &self.heard {
            if let Some(found) = &heard.name {
                names.entry(*key).or_insert_with(|| found.clone());
            }
        }
        let Self { named, groups, book, observed, told, vendors, .. } = self;
        let (book, neighbours) = (book.book(), &observed.neighbours);
        Knowledge { named, book, neighbours, told, names: &names, vendors, groups }.table()
    }

    /// Names in groups that no device has: whoever is meant is asked for as if it were in no group.
    fn unknown_members(&self, table: &DeviceTable) -> Vec<String> {
        let said: HashSet<String> =
            table.known().iter().map(|known| known.said_name().to_lowercase()).collect();
        let names = self.groups.iter().flat_map(|group| {
            group.members.iter().filter_map(move |member| match member {
                Member::Name(name) => Some((group, name)),
                Member::Key(_) | Member::Network(_) => None,
            })
        });
        let unknown = names.filter(|(_, name)| !said.contains(&name.to_lowercase()));
        unknown
            .map(|(group, name)| {
                format!(
                    "The group `{}` names `{name}`, and no device has that name from you: it is in no group. Give a device the name, or \
                     write its MAC address.",
                    group.name
                )
            })
            .collect()
    }

    /// Devices on the network that might tell a name, each with an address at which it can be asked.
    fn unnamed<'a>(&'a self, table: &'a DeviceTable) -> impl Iterator<Item = (DeviceKey, IpAddr)> + 'a {
        let has_name = |known: &KnownDevice| known.name_from < NameSource::Mdns;
        let on_link: HashSet<IpAddr> = self.observed.neighbours.iter().map(|(address, _)| *address).collect();
        table.known().iter().filter(move |known| !has_name(known)).filter_map(move |known| {
            let key = known.device.key;
            let kept = |heard: &Heard| if heard.name.is_some() { NAME_KEPT } else { SILENCE_KEPT };
            let is_known = self.heard.get(&key).is_some_and(|heard| heard.at.elapsed() < kept(heard));
            let can_be_asked = |address: &&IpAddr| {
                let has_link = || self.observed.links.iter().any(|(link, _)| link == *address);
                on_link.contains(*address) && (address.is_ipv4() || has_link())
            };
            let address = known.addresses.iter().find(can_be_asked).filter(|_| !is_known)?;
            Some((key, *address))
        })
    }

    /// The device that a key means, if the book may speak of it.
    fn changeable(&self, table: &DeviceTable, key: DeviceKey) -> Result<DeviceKey, Refused> {
        let by_address = if let DeviceKey::Address(address) = key { table.find(address) } else { None };
        let Some(known) = table.find_key(key).or(by_address) else { return Ok(key) };
        match known.line {
            None => Ok(known.device.key),
            Some(line) => Err(Refused::Failed(format!(
                "`{}` stands in {}, line {line}; change it there and reload. Nothing was changed.",
                known.device.name, self.config_file
            ))),
        }
    }

    /// Reads the book anew. One that is broken changes nothing.
    fn look(&mut self) {
        let Some(path) = &self.book_path else { return };
        let read = match std::fs::read_to_string(path) {
            Ok(text) if text == self.book.text() && self.book_problem.is_none() => return,
            Ok(text) => BookFile::parse(&text, path).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BookFile::default()),
            Err(error) => Err(format!("{} can't be read: {error}", path.display())),
        };
        match read {
            Ok(book) => (self.book, self.book_problem) = (book, None),
            Err(problem) => {
                warn!(%problem, "the book of devices could not be read; what it said before stays in force");
                self.book_problem = Some(format!(
                    "{problem}. What the file said of devices before stays in force; mend it and reload."
                ));
            }
        }
    }

    fn save(&mut self, book: &Book) -> Result<(), Refused> {
        let file = self.book_path.clone().unwrap_or_else(|| PathBuf::from("devices.toml"));
        let next = self.book.saying(book, &file);
        let next = next.map_err(unchanged)?;
        if let Some(path) = &self.book_path {
            feed::replace_file(path, next.text().as_bytes()).map_err(|error| {
                Refused::Failed(format!(
                    "{} could not be written ({error}); make room, or let the daemon write there. Nothing was changed.",
                    path.display()
                ))
            })?;
            // For a restart after the file was broken; without it the file itself still serves.
            let _ = feed::replace_file(&feed::last_good(path), next.text().as_bytes());
        }
        self.book = next;
        Ok(())
    }
}

impl LeaseFiles {
    fn take(&mut self, path: &Path, seen: Seen, leases: Vec<Lease>) {
        if LEASE_NAMES_MAX < self.by_mac.len() + leases.len() {
            self.by_mac.clear();
        }
        for lease in &leases {
            if let Some(mac) = lease.mac {
                self.by_mac.insert(mac, lease.name.as_str().into());
            }
        }
        self.files.insert(path.to_owned(), LeaseFile { seen: Some(seen), leases, problem: None });
    }
}

/// Reads a file of leases, unless it is as it was.
fn read_lease_file(path: &Path, seen: Option<Seen>) -> io::Result<Option<(Seen, Vec<Lease>)>> {
    let Some((now, text)) = read_if_changed(path, seen, leases::SIZE_MAX)? else { return Ok(None) };
    let unknown = || io::Error::other("it is in no format of dnsmasq, ISC dhcpd, Kea or odhcpd");
    Ok(Some((now, leases::parse(&text).ok_or_else(unknown)?)))
}
