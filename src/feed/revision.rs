//! The revisions of one list: which text is in force, which came before it, which waits. Pure: nothing is read or written.

use std::sync::Arc;

use jiff::Timestamp;

use super::guard;
use super::options::without_secrets;
use super::status::{RevisionState, RevisionStatus, Waiting};
use super::text::Text;

/// How much of a digest a revision is called by, in characters: enough for the few that a list has.
const ID_LEN: usize = 8;
/// What the revision that waits is called too.
pub(super) const WAITING: &str = "waiting";

/// A text and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub(super) text: Arc<Text>,
    /// The URL it was downloaded from, or `file:` and the path.
    pub(super) url: String,
    /// When it was downloaded or saved.
    pub(super) fetched: Timestamp,
    /// How many rules it has; `None` when its lines were counted with other options.
    pub(super) rules: Option<u64>,
}

/// By what a server tells whether its text is still the one that we have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Validator {
    pub(super) url: String,
    /// What the server called it.
    pub(super) etag: Option<String>,
    /// When the server said it changed, in the server's words.
    pub(super) last_modified: Option<String>,
    /// Which text that was.
    pub(super) digest: Box<str>,
}

/// A revision that waits for the person's word, and why, as a whole sentence.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) revision: Revision,
    pub(super) reason: String,
}

/// All revisions of a list.
#[derive(Clone, Debug, Default)]
pub(super) struct Revisions {
    /// In the order in which they came.
    pub(super) kept: Vec<Revision>,
    /// The digest of the one in force; it is one of `kept`.
    pub(super) in_force: Option<Box<str>>,
    /// Since when the person holds the list at it.
    pub(super) held_since: Option<Timestamp>,
    pub(super) waiting: Option<Hold>,
    pub(super) validators: Vec<Validator>,
    /// When the source last said what its text is.
    pub(super) checked: Option<Timestamp>,
    /// Texts that are kept no longer, whose files may go.
    pub(super) dropped: Vec<Box<str>>,
}

/// What became of a text that came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Received {
    /// It is in force already.
    Same,
    /// It is in force now.
    New,
    /// It waits, and `is_new` if it did not before.
    Waits { is_new: bool },
    /// It is kept, and the person holds the list at another.
    Kept,
    /// It is not known any more.
    Lost,
}

/// Why a wish about revisions is not granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoRevision {
    /// None is called so.
    Unknown,
    /// More than one is.
    Ambiguous,
    /// There is only the one in force.
    Only,
    /// None waits.
    NothingWaits,
    /// The list is not held.
    NotHeld,
}

impl Revision {
    pub(super) fn id(&self) -> &str {
        let digest = self.text.digest();
        digest.get(..ID_LEN).unwrap_or(digest)
    }

    pub(super) fn status(&self, state: RevisionState) -> RevisionStatus {
        RevisionStatus {
            id: self.id().to_owned(),
            fetched: self.fetched,
            rules: self.rules,
            size: self.text.size(),
            url: without_secrets(&self.url),
            state,
        }
    }
}

impl Revisions {
    pub(super) fn in_force(&self) -> Option<&Revision> {
        let digest = self.in_force.as_ref()?;
        self.kept.iter().find(|revision| revision.text.digest() == &**digest)
    }

    /// What a new text is compared with: the newest one that was let in.
    pub(super) fn newest(&self) -> Option<&Revision> {
        self.kept.last()
    }

    /// Takes in a text that came. `is_guarded`: it waits when it is nothing like the newest one.
    pub(super) fn receive(
        &mut self,
        revision: Revision,
        validator: Option<Validator>,
        is_guarded: bool,
        now: Timestamp,
    ) -> Received {
        self.checked = Some(now);
        self.validators.retain(|known| known.url != revision.url);
        self.validators.extend(validator);
        if let Some(hold) = self.waiting.as_mut().filter(|hold| is_same(&hold.revision, &revision)) {
            hold.revision = renewed(&hold.revision, revision);
            return Received::Waits { is_new: false };
        }
        if let Some(newest) = self.kept.last_mut().filter(|newest| is_same(newest, &revision)) {
            *newest = renewed(newest, revision);
            self.drop_waiting();
            return Received::Same;
        }
        let counts = self.newest().and_then(|newest| newest.rules).zip(revision.rules);
        if let Some(reason) =
            counts.filter(|_| is_guarded).and_then(|(before, after)| guard::size_change(before, after))
        {
            self.drop_waiting();
            self.waiting = Some(Hold { revision, reason });
            return Received::Waits { is_new: true };
        }
        self.drop_waiting();
        self.let_in(revision);
        match self.held_since {
            Some(_) => Received::Kept,
            None => self.put_newest_in_force(),
        }
    }

    /// Takes in that the text of `url` is still the one with this digest.
    pub(super) fn receive_known(&mut self, url: &str, digest: &str, now: Timestamp) -> Received {
        let is_it = |revision: &&Revision| revision.text.digest() == digest;
        let waiting = self.waiting.as_ref().map(|hold| &hold.revision);
        let Some(known) = waiting.into_iter().chain(&self.kept).find(is_it).cloned() else {
            self.validators.retain(|validator| validator.url != url);
            return Received::Lost;
        };
        let validator = self.validators.iter().find(|validator| validator.url == url).cloned();
        // It was guarded when it came.
        self.receive(Revision { url: url.to_owned(), ..known }, validator, false, now)
    }

    /// Puts the one that waits in force.
    pub(super) fn accept(&mut self) -> Result<(), NoRevision> {
        let hold = self.waiting.take().ok_or(NoRevision::NothingWaits)?;
        self.let_in(hold.revision);
        self.held_since = None;
        self.put_newest_in_force();
        Ok(())
    }

    /// Puts one in force, the one before the present one unless it is named, and holds the list there.
    pub(super) fn roll_back(&mut self, id: Option<&str>, now: Timestamp) -> Result<(), NoRevision> {
        let digest: Box<str> = match id {
            Some(id) => self.find(id)?.text.digest().into(),
            None => self.before_in_force().ok_or(NoRevision::Only)?.text.digest().into(),
        };
        if self.kept.iter().all(|revision| revision.text.digest() != &*digest) {
            // One that waits is accepted, not returned to.
            return Err(NoRevision::Unknown);
        }
        self.in_force = Some(digest);
        self.held_since = Some(now);
        Ok(())
    }

    /// Ends a hold: the newest is in force and will be replaced.
    pub(super) fn follow(&mut self) -> Result<(), NoRevision> {
        self.held_since.take().ok_or(NoRevision::NotHeld)?;
        self.put_newest_in_force();
        Ok(())
    }

    /// The one that was in force before the present one.
    pub(super) fn before_in_force(&self) -> Option<&Revision> {
        let digest = self.in_force.as_ref()?;
        let index = self.kept.iter().position(|revision| revision.text.digest() == &**digest)?;
        self.kept.get(index.checked_sub(1)?)
    }

    /// The one whose digest begins with `id`, or the one that waits.
    pub(super) fn find(&self, id: &str) -> Result<&Revision, NoRevision> {
        let waiting = self.waiting.as_ref().map(|hold| &hold.revision);
        if id == WAITING {
            return waiting.ok_or(NoRevision::NothingWaits);
        }
        let mut found =
            waiting.into_iter().chain(&self.kept).filter(|revision| revision.text.digest().starts_with(id));
        match (found.next().filter(|_| !id.is_empty()), found.next()) {
            (None, _) => Err(NoRevision::Unknown),
            (Some(revision), None) => Ok(revision),
            (Some(_), Some(_)) => Err(NoRevision::Ambiguous),
        }
    }

    /// Gives up the texts that were found damaged; what came before them serves, if anything did. The texts given up.
    pub(super) fn give_up_damaged(&mut self) -> Vec<Arc<Text>> {
        let mut lost = Vec::new();
        self.kept.retain(|revision| {
            let stays = !revision.text.is_damaged();
            if !stays {
                lost.push(Arc::clone(&revision.text));
            }
            stays
        });
        if let Some(hold) = self.waiting.take_if(|hold| hold.revision.text.is_damaged()) {
            lost.push(hold.revision.text);
        }
        if !lost.is_empty() {
            let is_lost = |digest: &str| lost.iter().any(|text| text.digest() == digest);
            self.validators.retain(|validator| !is_lost(&validator.digest));
            if self.in_force.as_deref().is_some_and(is_lost) {
                self.held_since = None;
                self.put_newest_in_force();
            }
        }
        lost
    }

    /// Forgets how many rules there are: lines are read in another way from now on.
    pub(super) fn forget_counts(&mut self) {
        for revision in self.kept.iter_mut().chain(self.waiting.as_mut().map(|hold| &mut hold.revision)) {
            revision.rules = None;
        }
    }

    /// Keeps no more than so many; the one in force always stays.
    pub(super) fn prune(&mut self, keep: usize) {
        while keep.max(1) < self.kept.len() {
            let is_in_force = |revision: &Revision| Some(revision.text.digest()) == self.in_force.as_deref();
            let Some(oldest) = self.kept.iter().position(|revision| !is_in_force(revision)) else { return };
            let dropped = self.kept.remove(oldest);
            self.validators.retain(|validator| *validator.digest != *dropped.text.digest());
            self.dropped.push(dropped.text.digest().into());
        }
    }

    /// All of them for people, the newest first.
    pub(super) fn statuses(&self) -> Vec<RevisionStatus> {
        let state = |revision: &Revision| match Some(revision.text.digest()) == self.in_force.as_deref() {
            true => RevisionState::InForce,
            false => RevisionState::Kept,
        };
        let waiting = self.waiting.iter().map(|hold| hold.revision.status(RevisionState::Waiting));
        waiting.chain(self.kept.iter().rev().map(|revision| revision.status(state(revision)))).collect()
    }

    pub(super) fn waiting_status(&self) -> Option<Waiting> {
        let Hold { revision, reason } = self.waiting.as_ref()?;
        Some(Waiting {
            id: revision.id().to_owned(),
            fetched: revision.fetched,
            rules: revision.rules.unwrap_or_default(),
            reason: reason.clone(),
        })
    }

    /// Whether a text is one of these.
    pub(super) fn has(&self, digest: &str) -> bool {
        let waiting = self.waiting.as_ref().map(|hold| &hold.revision);
        waiting.into_iter().chain(&self.kept).any(|revision| revision.text.digest() == digest)
    }

    fn let_in(&mut self, revision: Revision) {
        self.kept.retain(|known| !is_same(known, &revision));
        self.kept.push(revision);
    }

    fn put_newest_in_force(&mut self) -> Received {
        let newest = self.newest().map(|newest| newest.text.digest().into());
        if self.in_force == newest {
            return Received::Same;
        }
        self.in_force = newest;
        Received::New
    }

    fn drop_waiting(&mut self) {
        if let Some(hold) = self.waiting.take() {
            let digest = hold.revision.text.digest();
            if !self.has(digest) {
                self.validators.retain(|validator| *validator.digest != *digest);
                self.dropped.push(digest.into());
            }
        }
    }
}

fn is_same(one: &Revision, other: &Revision) -> bool {
    one.text.digest() == other.text.digest()
}

/// A revision that came again: since when it is there stays, and the text that lies on the disk is the better one.
fn renewed(old: &Revision, new: Revision) -> Revision {
    let text =
        if new.text.path().is_some() || old.text.path().is_none() { new.text } else { Arc::clone(&old.text) };
    Revision { text, url: new.url, fetched: old.fetched, rules: new.rules.or(old.rules) }
}

#[cfg(test)]
pub(in crate::feed) mod tests {
    use super::*;
    use crate::feed::text::TextWriter;

    /// A revision with this text, which is said to have so many rules.
    pub(in crate::feed) fn revision(text: &str, rules: u64) -> Revision {
        let mut writer = TextWriter::new(None).unwrap();
        writer.push(text.as_bytes()).unwrap();
        let url = "https://lists.example/a".to_owned();
        let text = Arc::new(writer.finish().unwrap());
        Revision { text, url, fetched: Timestamp::UNIX_EPOCH, rules: Some(rules) }
    }

    fn receive(revisions: &mut Revisions, text: &str, rules: u64) -> Received {
        let revision = revision(text, rules);
        let validator = Validator {
            url: revision.url.clone(),
            etag: Some(text.to_owned()),
            last_modified: None,
            digest: revision.text.digest().into(),
        };
        let received = revisions.receive(revision, Some(validator), true, Timestamp::UNIX_EPOCH);
        revisions.prune(3);
        for validator in &revisions.validators {
            assert!(revisions.has(&validator.digest), "a validator of a text that is gone");
        }
        received
    }

    /// How many rules each has, the newest first; `*` is in force, `?` waits.
    #[track_caller]
    fn check(revisions: &Revisions, expected: &str) {
        let shown = |status: &RevisionStatus| {
            let mark = match status.state {
                RevisionState::InForce => "*",
                RevisionState::Waiting => "?",
                RevisionState::Kept => "",
            };
            format!("{}{mark}", status.rules.unwrap_or_default())
        };
        assert_eq!(revisions.statuses().iter().map(shown).collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn the_newest_is_in_force_and_some_are_kept() {
        let mut revisions = Revisions::default();
        for rules in 1000..1005 {
            assert_eq!(receive(&mut revisions, &rules.to_string(), rules), Received::New);
        }
        check(&revisions, "1004* 1003 1002");
        assert_eq!(revisions.dropped.len(), 2);
        assert_eq!(receive(&mut revisions, "1004", 1004), Received::Same);
        // One that comes back is the newest again.
        assert_eq!(receive(&mut revisions, "1002", 1002), Received::New);
        check(&revisions, "1002* 1004 1003");
    }

    #[test]
    fn one_that_is_nothing_like_the_last_waits() {
        let mut revisions = Revisions::default();
        receive(&mut revisions, "a", 1000);
        assert_eq!(receive(&mut revisions, "b", 10), Received::Waits { is_new: true });
        assert_eq!(receive(&mut revisions, "b", 10), Received::Waits { is_new: false });
        check(&revisions, "10? 1000*");
        // Told by the server to be the same.
        let digest = revisions.find(WAITING).unwrap().text.digest().to_owned();
        let known = revisions.receive_known("https://lists.example/a", &digest, Timestamp::UNIX_EPOCH);
        assert_eq!(known, Received::Waits { is_new: false });
        // Another one takes its place; one that is good ends it, and so does the one in force.
        assert_eq!(receive(&mut revisions, "c", 20), Received::Waits { is_new: true });
        check(&revisions, "20? 1000*");
        assert_eq!(receive(&mut revisions, "a", 1000), Received::Same);
        check(&revisions, "1000*");
        receive(&mut revisions, "c", 20);
        assert_eq!(receive(&mut revisions, "d", 900), Received::New);
        check(&revisions, "900* 1000");
        receive(&mut revisions, "c", 20);
        revisions.accept().unwrap();
        check(&revisions, "20* 900 1000");
        assert_eq!(revisions.accept(), Err(NoRevision::NothingWaits));
    }

    #[test]
    fn one_that_the_person_returned_to_stays() {
        let mut revisions = Revisions::default();
        assert_eq!(revisions.roll_back(None, Timestamp::UNIX_EPOCH), Err(NoRevision::Only));
        for rules in [1000, 1001, 1002] {
            receive(&mut revisions, &rules.to_string(), rules);
        }
        let now = Timestamp::UNIX_EPOCH;
        revisions.roll_back(None, now).unwrap();
        check(&revisions, "1002 1001* 1000");
        revisions.roll_back(None, now).unwrap();
        check(&revisions, "1002 1001 1000*");
        assert_eq!(revisions.roll_back(None, now), Err(NoRevision::Only));
        assert_eq!(revisions.roll_back(Some("xyz"), now), Err(NoRevision::Unknown));
        assert_eq!(revisions.roll_back(Some(""), now), Err(NoRevision::Unknown));
        let id = revisions.kept[1].id().to_owned();
        revisions.roll_back(Some(&id), now).unwrap();
        check(&revisions, "1002 1001* 1000");
        // What comes meanwhile is kept, and the one in force is not dropped for it.
        assert_eq!(receive(&mut revisions, "1002", 1002), Received::Same);
        assert_eq!(receive(&mut revisions, "1003", 1003), Received::Kept);
        assert_eq!(receive(&mut revisions, "1004", 1004), Received::Kept);
        check(&revisions, "1004 1003 1001*");
        assert_eq!(receive(&mut revisions, "e", 1), Received::Waits { is_new: true });
        revisions.follow().unwrap();
        check(&revisions, "1? 1004* 1003 1001");
        assert_eq!(revisions.follow(), Err(NoRevision::NotHeld));
        // To accept is to follow too.
        revisions.roll_back(None, now).unwrap();
        revisions.accept().unwrap();
        check(&revisions, "1* 1004 1003 1001");
        assert_eq!(revisions.held_since, None);
    }

    #[test]
    fn a_text_that_the_server_knows_and_we_do_not_is_fetched_anew() {
        let mut revisions = Revisions::default();
        receive(&mut revisions, "a", 1);
        let lost = revisions.receive_known("https://lists.example/a", "abc", Timestamp::UNIX_EPOCH);
        assert_eq!((lost, revisions.validators.len()), (Received::Lost, 0));
    }
}
