//! Names that this machine answers for itself: those of the house, and those that must never leave it.
//!
//! A table is built from what a person wrote, hosts files and leases, and is replaced whole ([`LiveLocal`]). It knows names and
//! records; it never knows who asks, which names are blocked, or where the texts came from.
//!
//! What is nearest to a name decides: its own records; then, from its parent upwards, the records of a `*`, a name that is
//! [forwarded](Builder::forward), and a [`Zone`]. A name that has records here has no others: a device that finds the house's
//! address by `A` shall not find another one by `AAAA` or `HTTPS`.

mod build;
mod hosts;
mod record;
mod special;
mod table;
#[cfg(test)]
mod tests;

pub use build::{Builder, Conflict};
pub use hosts::{HostsFile, HostsLine, HostsProblem, SIZE_MAX as HOSTS_SIZE_MAX, read_hosts};
pub use record::{LocalRecord, Origin, RecordError, WrittenRecord};
pub use special::{Bypass, Zone, ZoneKind};
pub use table::{Answer, Listed, Local, Source};

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// The table in force, replaced whole.
#[derive(Debug, Default)]
pub struct LiveLocal(ArcSwap<Local>);

impl LiveLocal {
    /// The table in force now.
    pub fn current(&self) -> Guard<Arc<Local>> {
        self.0.load()
    }

    /// Puts another table in force.
    pub fn publish(&self, local: Local) {
        self.0.store(Arc::new(local));
    }
}
