//! Who may use the page and the API: one password, the sessions of browsers, and named tokens for programs.
//!
//! It knows nothing of HTTP: it is handed a password, a session's secret or a token, and says yes or no. Nothing that would open
//! the door is kept, only what tells whether it is right: the password as an argon2id hash, secrets as SHA-256. What can't be
//! read keeps everybody out; it never lets anybody in.

mod attempts;
mod kept;
mod secret;

pub use secret::Secret;

use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use attempts::Attempts;
use kept::{Directory, Kept};
use secret::{Code, Fingerprint};

/// For how long a session lasts in which nothing is asked for.
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(30 * 86_400);
/// The shortest password, in characters (NIST SP 800-63B).
pub const PASSWORD_LEN_MIN: usize = 8;
/// The longest, in octets: far more than anybody types, and little to hash.
pub const PASSWORD_LEN_MAX: usize = 1024;
/// How many browsers may be logged in; beyond that the one that was quiet for longest is logged out.
const SESSIONS_MAX: usize = 64;
/// How many tokens there may be.
const TOKENS_MAX: usize = 64;
/// The longest name of a token, in characters.
const TOKEN_NAME_LEN_MAX: usize = 63;
/// A session is written down as seen no more often than this, to spare an SD card.
const SEEN_STEP: Duration = Duration::from_secs(3600);
/// How many tries may stand in line. Each takes 19 MiB while it is looked at, so one is looked at at a time.
const LINE_MAX: usize = 16;

/// What a token may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// Look at everything.
    Read,
    /// Change things, too.
    Write,
}

impl Scope {
    /// The word for it, which [`str::parse`] reads.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// A named key for programs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Token {
    /// What a person calls it.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// When it was made.
    pub created: Timestamp,
    fingerprint: Fingerprint,
}

/// A browser that is logged in.
#[derive(Clone, Copy, Debug)]
struct Session {
    fingerprint: Fingerprint,
    created: Timestamp,
    seen: Timestamp,
}

/// Whether there is a password.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lock {
    /// None was ever set.
    Unset,
    /// There is one.
    Set,
    /// What is kept can't be used, so nothing fits; what is wrong and what to do, in two sentences.
    Broken(String),
}

/// A session that was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seen {
    /// Its end has moved, so the browser should be told.
    pub is_prolonged: bool,
}

/// Why not. The words are for people.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Denied {
    /// Another password was given.
    #[error(
        "That is not the password. If nobody knows it any more, set a new one with `pixelsink passwd` on the machine itself."
    )]
    WrongPassword,
    /// Another code was given.
    #[error(
        "That is not the code. It stands in the log of pixelsink since its last start, and `pixelsink passwd --code` shows it."
    )]
    WrongCode,
    /// This address, or everybody, tried too often.
    #[error("There were too many wrong tries. Try again in {}.", seconds(.0))]
    TooOften(Duration),
    /// The new password can be guessed.
    #[error(
        "A password needs at least {} characters; several words that do not belong together are good.",
        PASSWORD_LEN_MIN
    )]
    TooShort,
    /// The new password is longer than [`PASSWORD_LEN_MAX`].
    #[error("A password has at most {} octets.", PASSWORD_LEN_MAX)]
    TooLong,
    /// There is no password to log in with.
    #[error(
        "No password is set yet. Set one with `pixelsink passwd`, or on the page with the code from the log of pixelsink."
    )]
    Unset,
    /// There is one already.
    #[error("A password is set already; give it as `current` to change it.")]
    AlreadySet,
    /// See [`Lock::Broken`].
    #[error("{0}")]
    Broken(String),
    /// The disk did not take it. Nothing has changed.
    #[error("That could not be kept ({0}), so nothing was changed.")]
    NotKept(String),
    /// No token can have that name.
    #[error(
        "A token needs a name of at most {} visible characters, for what it is used by.",
        TOKEN_NAME_LEN_MAX
    )]
    BadName,
    /// Another token has that name.
    #[error("There is a token `{0}` already. Revoke it first, or choose another name.")]
    NameTaken(String),
    /// There is no such token.
    #[error("There is no token `{0}`.")]
    UnknownToken(String),
    /// There are as many as there may be.
    #[error("There are {} tokens already; revoke one that is not used any more.", TOKENS_MAX)]
    TooManyTokens,
}

fn seconds(wait: &Duration) -> String {
    match wait.as_secs() + u64::from(wait.subsec_nanos() != 0) {
        0 | 1 => "one second".to_owned(),
        seconds @ ..120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds.div_ceil(60)),
    }
}

struct State {
    lock: Lock,
    /// As it is on the disk, or would be if there was one.
    kept: Kept,
    /// Good until there is a password.
    code: Code,
    sessions: Vec<Session>,
    /// Why sessions could not be written.
    sessions_problem: Option<String>,
}

/// The doorkeeper.
pub struct Access {
    directory: Option<Directory>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    attempts: Mutex<Attempts>,
    /// One password is looked at at a time, first come, first served.
    line: Semaphore,
    in_line: AtomicUsize,
    /// Held while a file is written.
    writing: tokio::sync::Mutex<()>,
    /// Ends what still runs for somebody who may no longer be let in.
    revocation: Mutex<CancellationToken>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Access {
    /// Reads what is kept in `directory`; without one, everything is forgotten at the end.
    pub fn open(directory: Option<&Path>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let directory = directory.map(Directory::new);
        let read = directory.as_ref().map_or_else(|| Ok(Kept::default()), Directory::read_access);
        let (lock, kept) = match (read, &directory) {
            (Ok(kept), _) if kept.password.is_some() => (Lock::Set, kept),
            (Ok(kept), _) => (Lock::Unset, kept),
            (Err(why), directory) => {
                let file =
                    directory.as_ref().map(|it| it.access_file().display().to_string()).unwrap_or_default();
                let problem = format!(
                    "Nobody can log in to the page, because {file} can't be used: {why}. Bring it back from a backup and \
                     restart, or run `pixelsink passwd`, which puts it aside and sets a new password; tokens have to be made \
                     anew then."
                );
                error!("{problem}");
                (Lock::Broken(problem), Kept::default())
            }
        };
        let sessions = match directory.as_ref().map(Directory::read_sessions) {
            Some(Ok(sessions)) if lock == Lock::Set => sessions,
            Some(Err(error)) => {
                warn!(%error, "sessions.json can't be used, so everybody has to log in again");
                Vec::new()
            }
            _ => Vec::new(),
        };
        let attempts = Mutex::new(Attempts::new(clock.instant()));
        let state = State { lock, kept, code: Code::random(), sessions, sessions_problem: None };
        Arc::new(Self {
            directory,
            clock,
            state: Mutex::new(state),
            attempts,
            line: Semaphore::new(1),
            in_line: AtomicUsize::new(0),
            writing: tokio::sync::Mutex::default(),
            revocation: Mutex::default(),
        })
    }

    /// Whether there is a password.
    pub fn lock(&self) -> Lock {
        lock(&self.state).lock.clone()
    }

    /// The code that sets the first password on the page, while there is none.
    pub fn code(&self) -> Option<String> {
        let state = lock(&self.state);
        (state.lock == Lock::Unset).then(|| state.code.as_str().to_owned())
    }

    /// What is wrong, and what to do about it.
    pub fn problem(&self) -> Option<String> {
        let state = lock(&self.state);
        match &state.lock {
            Lock::Broken(problem) => Some(problem.clone()),
            _ => state.sessions_problem.clone(),
        }
    }

    /// How many browsers are logged in.
    pub fn sessions(&self) -> usize {
        let now = self.clock.now();
        lock(&self.state).sessions.iter().filter(|session| session.is_alive(now)).count()
    }

    /// Looks for the session of this secret, and has it last from now on.
    pub fn session(self: &Arc<Self>, secret: &str) -> Option<Seen> {
        let (now, fingerprint) = (self.clock.now(), Fingerprint::of(secret));
        let mut state = lock(&self.state);
        if state.lock != Lock::Set {
            return None;
        }
        let session = state.sessions.iter_mut().find(|session| session.fingerprint == fingerprint)?;
        if !session.is_alive(now) {
            return None;
        }
        let is_prolonged = SEEN_STEP <= since(session.seen, now);
        if is_prolonged {
            session.seen = now;
            let access = Arc::clone(self);
            tokio::spawn(async move { access.keep_sessions().await });
        }
        Some(Seen { is_prolonged })
    }

    /// What the token of this secret may do.
    pub fn token(&self, secret: &str) -> Option<Scope> {
        let fingerprint = Fingerprint::of(secret);
        let state = lock(&self.state);
        if matches!(state.lock, Lock::Broken(_)) {
            return None;
        }
        state.kept.tokens.iter().find(|token| token.fingerprint == fingerprint).map(|token| token.scope)
    }

    /// The tokens, in the order of their making.
    pub fn tokens(&self) -> Vec<Token> {
        lock(&self.state).kept.tokens.clone()
    }

    /// Is cancelled when a session, a token or the password comes to its end. What goes on for long stops then; who may still
    /// be let in comes again.
    pub fn revocation(&self) -> CancellationToken {
        lock(&self.revocation).clone()
    }

    /// Begins a session for who knows the password.
    ///
    /// # Errors
    /// When it is another one, or was tried too often, or none can be right.
    pub async fn log_in(&self, from: IpAddr, password: String) -> Result<Secret, Denied> {
        self.check_password(from, password).await?;
        Ok(self.begin_session().await)
    }

    /// Sets the first password for who knows the code, and begins a session.
    ///
    /// # Errors
    /// When it is another code, or the password is not to be had. The code stays good then.
    pub async fn set_up(&self, from: IpAddr, code: &str, password: String) -> Result<Secret, Denied> {
        fit(&password)?;
        match self.lock() {
            Lock::Unset => {}
            Lock::Set => return Err(Denied::AlreadySet),
            Lock::Broken(problem) => return Err(Denied::Broken(problem)),
        }
        let _place = self.stand_in_line(from).await?;
        if !lock(&self.state).code.is(code) {
            lock(&self.attempts).wrong(from, self.clock.instant());
            warn!(%from, "a wrong code was given to the page");
            return Err(Denied::WrongCode);
        }
        lock(&self.attempts).right(from);
        self.replace_password(password, true).await?;
        info!(%from, "the first password of the page was set");
        Ok(self.begin_session().await)
    }

    /// Changes the password for who knows the present one; everybody else is logged out.
    ///
    /// # Errors
    /// When the present one is another, or the new one is not to be had.
    pub async fn change_password(
        &self,
        from: IpAddr,
        current: String,
        password: String,
    ) -> Result<Secret, Denied> {
        fit(&password)?;
        self.check_password(from, current).await?;
        self.replace_password(password, false).await?;
        info!(%from, "the password of the page was changed");
        Ok(self.begin_session().await)
    }

    /// Sets the password on the word of who may write on this machine; everybody is logged out. What can't be used is put aside.
    ///
    /// # Errors
    /// When the new one is not to be had.
    pub async fn set_password(&self, password: String) -> Result<(), Denied> {
        fit(&password)?;
        self.replace_password(password, false).await?;
        info!("the password of the page was set on this machine");
        Ok(())
    }

    /// Ends one session.
    pub async fn log_out(&self, secret: &str) {
        let fingerprint = Fingerprint::of(secret);
        lock(&self.state).sessions.retain(|session| session.fingerprint != fingerprint);
        self.revoke();
        self.keep_sessions().await;
    }

    /// Ends all sessions; how many they were.
    pub async fn end_sessions(&self) -> usize {
        let ended = self.sessions();
        lock(&self.state).sessions.clear();
        self.revoke();
        self.keep_sessions().await;
        ended
    }

    /// Makes a token; its secret is shown this once.
    ///
    /// # Errors
    /// When the name is not to be had, or the disk does not take it.
    pub async fn add_token(&self, name: &str, scope: Scope) -> Result<Secret, Denied> {
        let name = name.trim();
        let is_plain = name.chars().all(|c| !c.is_control()) && name.chars().count() <= TOKEN_NAME_LEN_MAX;
        if name.is_empty() || !is_plain {
            return Err(Denied::BadName);
        }
        let secret = Secret::of_token();
        let fingerprint = Fingerprint::of(secret.reveal());
        let token = Token { name: name.to_owned(), scope, created: self.clock.now(), fingerprint };
        self.change(move |kept| {
            if kept.tokens.iter().any(|known| known.name == token.name) {
                return Err(Denied::NameTaken(token.name));
            }
            if TOKENS_MAX <= kept.tokens.len() {
                return Err(Denied::TooManyTokens);
            }
            kept.tokens.push(token);
            Ok(())
        })
        .await?;
        info!(token = name, scope = scope.as_str(), "a token was made");
        Ok(secret)
    }

    /// Takes a token back.
    ///
    /// # Errors
    /// When there is none of that name, or the disk does not take it.
    pub async fn revoke_token(&self, name: &str) -> Result<(), Denied> {
        self.change(|kept| {
            let before = kept.tokens.len();
            kept.tokens.retain(|token| token.name != name);
            if kept.tokens.len() == before { Err(Denied::UnknownToken(name.to_owned())) } else { Ok(()) }
        })
        .await?;
        self.revoke();
        info!(token = name, "a token was revoked");
        Ok(())
    }

    async fn check_password(&self, from: IpAddr, password: String) -> Result<(), Denied> {
        let hash = {
            let state = lock(&self.state);
            match (&state.lock, &state.kept.password) {
                (Lock::Broken(problem), _) => return Err(Denied::Broken(problem.clone())),
                (Lock::Set, Some(hash)) => hash.clone(),
                _ => return Err(Denied::Unset),
            }
        };
        let _place = self.stand_in_line(from).await?;
        let is_right = password.len() <= PASSWORD_LEN_MAX
            && spawn_blocking(move || password_auth::verify_password(password, &hash).is_ok())
                .await
                .unwrap_or(false);
        if !is_right {
            lock(&self.attempts).wrong(from, self.clock.instant());
            warn!(%from, "a wrong password was given to the page");
            return Err(Denied::WrongPassword);
        }
        lock(&self.attempts).right(from);
        Ok(())
    }

    /// Waits until a try may be looked at. The line is short and moves at least once a second.
    async fn stand_in_line(&self, from: IpAddr) -> Result<Place<'_>, Denied> {
        let full = || Denied::TooOften(Duration::from_secs(5));
        let place = InLine::take(&self.in_line).ok_or_else(full)?;
        lock(&self.attempts).begin(from, self.clock.instant()).map_err(Denied::TooOften)?;
        let turn = self.line.acquire().await.map_err(|_| full())?;
        let pause = lock(&self.attempts).pause(self.clock.instant());
        tokio::time::sleep(pause).await;
        Ok(Place { _in_line: place, _turn: turn })
    }

    async fn replace_password(&self, password: String, only_first: bool) -> Result<(), Denied> {
        let hashing = spawn_blocking(move || password_auth::generate_hash(password));
        let hash = hashing.await.map_err(|error| Denied::NotKept(error.to_string()))?;
        let is_broken = matches!(self.lock(), Lock::Broken(_));
        if is_broken && let Some(directory) = &self.directory {
            directory.set_aside().map_err(|error| Denied::NotKept(error.to_string()))?;
        }
        self.change_to(
            |kept| match kept.password {
                Some(_) if only_first => Err(Denied::AlreadySet),
                _ => {
                    kept.password = Some(hash);
                    Ok(())
                }
            },
            Some(Lock::Set),
        )
        .await?;
        self.end_sessions().await;
        Ok(())
    }

    async fn change(&self, what: impl FnOnce(&mut Kept) -> Result<(), Denied>) -> Result<(), Denied> {
        if let Lock::Broken(problem) = self.lock() {
            return Err(Denied::Broken(problem));
        }
        self.change_to(what, None).await
    }

    /// Changes what is kept, on the disk first.
    async fn change_to(
        &self,
        what: impl FnOnce(&mut Kept) -> Result<(), Denied>,
        then: Option<Lock>,
    ) -> Result<(), Denied> {
        let _writing = self.writing.lock().await;
        let mut kept = lock(&self.state).kept.clone();
        what(&mut kept)?;
        if let Some(directory) = self.directory.clone() {
            let written = kept.clone();
            let writing = spawn_blocking(move || directory.write_access(&written)).await;
            let written = writing.map_err(|error| error.to_string());
            written
                .and_then(|written| written.map_err(|error| error.to_string()))
                .map_err(Denied::NotKept)?;
        }
        let mut state = lock(&self.state);
        state.kept = kept;
        if let Some(then) = then {
            state.lock = then;
        }
        Ok(())
    }

    async fn begin_session(&self) -> Secret {
        let (secret, now) = (Secret::of_session(), self.clock.now());
        {
            let mut state = lock(&self.state);
            let sessions = &mut state.sessions;
            sessions.retain(|session| session.is_alive(now));
            sessions.sort_by_key(|session| std::cmp::Reverse(session.seen));
            sessions.truncate(SESSIONS_MAX - 1);
            sessions.push(Session { fingerprint: Fingerprint::of(secret.reveal()), created: now, seen: now });
        }
        self.keep_sessions().await;
        secret
    }

    async fn keep_sessions(&self) {
        let Some(directory) = self.directory.clone() else { return };
        let _writing = self.writing.lock().await;
        let sessions = lock(&self.state).sessions.clone();
        let written = spawn_blocking(move || directory.write_sessions(&sessions)).await;
        let error = match written {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let problem = error.map(|error| {
            format!("Who is logged in to the page can't be kept over a restart ({error}); free some room in data_dir.")
        });
        let before = std::mem::replace(&mut lock(&self.state).sessions_problem, problem.clone());
        if let Some(problem) = problem.filter(|_| before.is_none()) {
            warn!("{problem}");
        }
    }

    fn revoke(&self) {
        std::mem::take(&mut *lock(&self.revocation)).cancel();
    }
}

impl Session {
    fn is_alive(&self, now: Timestamp) -> bool {
        since(self.seen, now) < SESSION_IDLE_MAX
    }
}

/// How long ago `then` was. A clock that was set back makes nothing older.
fn since(then: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(then).try_into().unwrap_or_default()
}

fn fit(password: &str) -> Result<(), Denied> {
    match password.chars().count() {
        ..PASSWORD_LEN_MIN => Err(Denied::TooShort),
        _ if PASSWORD_LEN_MAX < password.len() => Err(Denied::TooLong),
        _ => Ok(()),
    }
}

/// Whose turn it is, until dropped.
struct Place<'a> {
    _in_line: InLine<'a>,
    _turn: tokio::sync::SemaphorePermit<'a>,
}

/// A place in a line of [`LINE_MAX`].
struct InLine<'a>(&'a AtomicUsize);

impl<'a> InLine<'a> {
    fn take(line: &'a AtomicUsize) -> Option<Self> {
        if line.fetch_add(1, Ordering::Relaxed) < LINE_MAX {
            return Some(Self(line));
        }
        line.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
