//! The way of a list: download, guard, keep revisions, compile, publish.

mod options;
mod status;

pub use options::*;
pub use status::*;

use std::sync::Arc;

use crate::clock::Clock;
use crate::list::{Action, OwnRule};
use crate::policy::LivePolicy;

/// A handle to the lists. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    _private: (),
}

/// What of the lists could not be done.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FeedError {
    /// No list has this name.
    #[error("there is no list named `{0}`")]
    UnknownList(String),
    /// The file of the person's own rules could not be read or written.
    #[error("{0}")]
    OwnRules(String),
    /// The daemon is stopping.
    #[error("the lists are closed")]
    Closed,
}

impl Feed {
    /// Puts the kept revisions in force before it returns, then refreshes in the background.
    pub async fn start(
        options: FeedOptions,
        policy: Arc<LivePolicy>,
        hosts: Arc<dyn HostLookup>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let _ = (options, policy, hosts, clock);
        Self { _private: () }
    }
    /// Every source and how it is, in the order of the configuration.
    pub fn status(&self) -> Vec<SourceStatus> {
        Vec::new()
    }
    /// Refreshes one source or all of them and waits for the end; each one's status afterwards tells how it went.
    pub async fn refresh(&self, name: Option<&str>) -> Result<Vec<SourceStatus>, FeedError> {
        let _ = name;
        Err(FeedError::Closed)
    }
    /// Takes over a changed configuration; what did not change stays in force meanwhile.
    pub async fn reconfigure(&self, options: FeedOptions) -> Result<(), FeedError> {
        let _ = options;
        Err(FeedError::Closed)
    }
    /// The person's own rules, with where each was written.
    pub fn own_rules(&self) -> Vec<OwnRuleStatus> {
        Vec::new()
    }
    /// Writes a rule of the person's own; it replaces what was said of the same name and scope. It is in force when this returns.
    pub async fn write_own(&self, action: Action, rule: OwnRule) -> Result<OwnChange, FeedError> {
        let _ = (action, rule);
        Err(FeedError::Closed)
    }
    /// Takes back a rule that [`Feed::write_own`] wrote.
    pub async fn forget_own(&self, rule: OwnRule) -> Result<OwnChange, FeedError> {
        let _ = rule;
        Err(FeedError::Closed)
    }
}
