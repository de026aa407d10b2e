//! Whose a remembered name is, worked out once for each name.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::name::DomainName;
use crate::tracker::Attribution;
use crate::tracker::Catalogue;
use crate::tracker::LiveCatalogue;

/// How many names are kept in mind, at about 50 octets a name: as many as a home asks for in a year.
const NAMES_MAX: usize = 100_000;

/// The identifier of a name in the database.
pub(super) type NameId = i64;

/// Stands for an [`Attribution`]; equal ones have equal numbers until [`Attributor::make_room`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct OwnerId(usize);

/// What tells owners apart. A tracker is the one of the catalogue, wherever that lies in memory.
#[derive(Eq, Hash, PartialEq)]
enum OwnerKey {
    Tracker(usize),
    Domain(DomainName),
}

/// Attributes names and keeps in mind what it found.
pub(super) struct Attributor {
    live: Arc<LiveCatalogue>,
    /// The one by which the names were worked out.
    catalogue: Arc<Catalogue>,
    /// Each with its company.
    owners: Vec<(Attribution, String)>,
    by_key: HashMap<OwnerKey, OwnerId>,
    by_name: HashMap<NameId, OwnerId>,
}

impl Attributor {
    pub(super) fn new(live: Arc<LiveCatalogue>) -> Self {
        let catalogue = live.current();
        Self { live, catalogue, owners: Vec::new(), by_key: HashMap::new(), by_name: HashMap::new() }
    }

    /// Forgets everything when it has become too much, or another catalogue is in force. Called between questions, since numbers change their meaning.
    pub(super) fn make_room(&mut self) {
        let is_old = self.live.current().generation() != self.catalogue.generation();
        if is_old || NAMES_MAX < self.by_name.len() {
            self.clear();
        }
    }

    /// Forgets everything, because names got other identifiers.
    pub(super) fn clear(&mut self) {
        *self = Self::new(Arc::clone(&self.live));
    }

    /// Whose the name `id` is, if that is known already.
    pub(super) fn known(&self, id: NameId) -> Option<OwnerId> {
        self.by_name.get(&id).copied()
    }

    /// Works out whose the name `id` is, which is written `name`.
    pub(super) fn learn(&mut self, id: NameId, name: &DomainName) -> OwnerId {
        let attribution = self.catalogue.attribute(name.as_ref());
        let key = match &attribution {
            Attribution::Tracker(tracker) => OwnerKey::Tracker(Arc::as_ptr(tracker).addr()),
            Attribution::Domain(domain) => OwnerKey::Domain(domain.clone()),
        };
        let owner = *self.by_key.entry(key).or_insert_with(|| {
            let company = attribution.company();
            self.owners.push((attribution, company));
            OwnerId(self.owners.len() - 1)
        });
        self.by_name.insert(id, owner);
        owner
    }

    /// What a number stands for.
    pub(super) fn attribution(&self, owner: OwnerId) -> Option<&Attribution> {
        self.owners.get(owner.0).map(|(attribution, _)| attribution)
    }

    /// The company of a number.
    pub(super) fn company(&self, owner: OwnerId) -> Option<&str> {
        self.owners.get(owner.0).map(|(_, company)| &**company)
    }
}
