//! Wishes about the person's own rules, granted and told in a sentence.

use std::time::Duration;

use super::running::{Running, refused};
use crate::command::{ALLOW_MAX, Done, Refused};
use crate::feed::OwnChange;
use crate::list::{Action, Client, OwnRule};
use crate::policy;

impl Running {
    pub(super) async fn allow_own(&self, rule: OwnRule) -> Result<Done, Refused> {
        let what = self.told(&rule);
        Ok(Done(match self.feed.write_own(Action::Allow, rule).await.map_err(refused)? {
            OwnChange::Unchanged => format!("{what} was let through already."),
            _ => format!("{what} is let through from now on. {}", self.keeps_old()),
        }))
    }

    pub(super) async fn block_own(&self, rule: OwnRule) -> Result<Done, Refused> {
        let what = self.told(&rule);
        Ok(Done(match self.feed.write_own(Action::Block, rule).await.map_err(refused)? {
            OwnChange::Unchanged => format!("{what} was blocked already."),
            _ => format!(
                "{what} is blocked from now on. Devices may keep the old answer until its time is over."
            ),
        }))
    }

    pub(super) async fn allow_own_for(&self, rule: OwnRule, duration: Duration) -> Result<Done, Refused> {
        if duration < Duration::from_secs(1) || ALLOW_MAX < duration {
            let message =
                "A name can be let through for one second to seven days; for longer, allow it for good.";
            return Err(Refused::Failed(message.to_owned()));
        }
        let what = self.told(&rule);
        Ok(Done(match self.feed.allow_own_for(rule, duration).await.map_err(refused)? {
            OwnChange::Unchanged => format!("{what} was let through already, and stays so."),
            _ => format!("{what} is let through for {}. {}", shown(duration), self.keeps_old()),
        }))
    }

    pub(super) async fn keep_own(&self, rule: OwnRule) -> Result<Done, Refused> {
        let what = self.told(&rule);
        match self.feed.keep_own(rule.clone()).await.map_err(refused)? {
            OwnChange::Absent => Err(absent(&rule)),
            OwnChange::Unchanged => Ok(Done(format!("The rule for {what} has no end; it stays anyway."))),
            _ => Ok(Done(format!("{what} stays let through."))),
        }
    }

    pub(super) async fn forget_own(&self, rule: OwnRule) -> Result<Done, Refused> {
        match self.feed.forget_own(rule.clone()).await.map_err(refused)? {
            OwnChange::Absent => Err(absent(&rule)),
            _ => Ok(Done(format!("The rule {} was taken back.", self.told(&rule)))),
        }
    }

    /// A blocked answer is never kept here, but by whoever was given it.
    fn keeps_old(&self) -> String {
        format!("Devices may keep the old answer for {} seconds.", self.policy.current().blocking.ttl_secs)
    }

    /// A rule, and on which device it counts.
    fn told(&self, rule: &OwnRule) -> String {
        let subject = rule.shown_subject();
        let Some(client) = &rule.client else { return subject };
        let devices = self.devices.live().current();
        let name =
            policy::device_of(client).and_then(|key| devices.name_of(key).map(|name| name.to_string()));
        let name = name.unwrap_or_else(|| match client {
            Client::Name(name) => name.to_string(),
            client => client.to_string(),
        });
        format!("{subject} on {name}")
    }
}

fn absent(rule: &OwnRule) -> Refused {
    Refused::Unknown(format!(
        "There is no rule `{rule}` among those written on the page; rules of the configuration file are changed there."
    ))
}

/// `15 minutes`, `1 hour 30 minutes`, `40 seconds`.
fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 86_400, "day"),
        (seconds / 3_600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
    ];
    let part = |(count, unit): &(u64, &str)| format!("{count} {unit}{}", if *count == 1 { "" } else { "s" });
    parts.iter().filter(|(count, _)| 0 < *count).map(part).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_words() {
        for (seconds, expected) in [
            (1, "1 second"),
            (900, "15 minutes"),
            (5_400, "1 hour 30 minutes"),
            (90_061, "1 day 1 hour 1 minute 1 second"),
        ] {
            assert_eq!(shown(Duration::from_secs(seconds)), expected);
        }
    }
}
