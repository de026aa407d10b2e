//! What the page and the command line wish to have done.

use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;

use super::Running;
use crate::command::{Command, Done, Erasure, FlushedName, Refused};
use crate::daemon::erase;
use crate::device::DeviceKey;
use crate::feed::FeedError;
use crate::history;
use crate::resolve::Flush;
use crate::web;

impl Running {
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

/// A wish about lists or rules that the feed refused.
pub(in crate::daemon) fn refused(error: FeedError) -> Refused {
    match error {
        FeedError::UnknownList(_) | FeedError::NotThere(_) => Refused::Unknown(error.to_string()),
        error => Refused::Failed(error.to_string()),
    }
}

/// Grants the wishes of the page and the command line.
pub(super) struct Grants(pub(super) Weak<Running>);

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
