//! The configuration taken over while the daemon runs: all of it or nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{error, info, warn};

use super::Running;
use crate::cli::load_config;
use crate::command::{Done, Refused};
use crate::config::{BUILT_IN_LIST, Config, DOH_LIST, HistorySection};
use crate::daemon::listeners::Unavailable;
use crate::daemon::lists::Added;
use crate::daemon::{access, trackers, watchdog};
use crate::feed::{FeedOptions, Origin, SourceOptions};
use crate::list::{Action, Rule, Scope};
use crate::name::DomainName;
use crate::tracker::{self, Part};
use crate::web;

impl Running {
    /// Reads the configuration again. When it can't be used, everything stays as it is.
    pub(super) async fn reload(&self) -> Result<Done, Refused> {
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
    pub(in crate::daemon) async fn reconfigure_feed(&self, config: &Config, added: &Added) {
        self.added_problem.store(Arc::new(added.problem()));
        let feed_options = feed_options(config, added, self.data_dir.clone(), &self.built_in);
        if let Err(error) = self.feed.reconfigure(feed_options).await {
            // Only when the daemon stops.
            warn!(%error, "the lists did not take over the configuration");
        }
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

fn needs_restart(before: &Config, after: &Config) -> bool {
    // What is told of is chosen anew at once.
    let history = HistorySection { privacy: after.history.privacy, ..before.history };
    history != after.history || before.data_dir != after.data_dir
}

pub(super) fn feed_options(
    config: &Config,
    added: &Added,
    data_dir: Option<PathBuf>,
    built_in: &Part,
) -> FeedOptions {
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
pub(super) fn host_names(config: &Config) -> Vec<String> {
    let own = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    config.web.host_names.iter().cloned().chain((!own.is_empty()).then_some(own)).collect()
}
