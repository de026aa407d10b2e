//! What is kept on the disk: `access.json` (the password's hash and the tokens) and `sessions.json`, both `0600`.
//!
//! They are two files because a session is written often and is cheap to lose, and the password is neither.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::secret::Fingerprint;
use super::{Scope, Session, Token};

const ACCESS_FILE: &str = "access.json";
const SESSIONS_FILE: &str = "sessions.json";
/// Ours have a few kilobytes.
const FILE_SIZE_MAX: u64 = 256 * 1024;
/// The layout that is written here. Another one is left alone.
const VERSION: u32 = 1;

/// The directory of both files.
#[derive(Clone, Debug)]
pub(super) struct Directory(PathBuf);

/// What `access.json` says.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// The password's hash, as a PHC string.
    pub(super) password: Option<String>,
    pub(super) tokens: Vec<Token>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AccessFile {
    version: u32,
    password: Option<String>,
    tokens: Vec<TokenEntry>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    name: String,
    scope: String,
    sha256: String,
    created: Timestamp,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SessionsFile {
    version: u32,
    sessions: Vec<SessionEntry>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SessionEntry {
    sha256: String,
    created: Timestamp,
    seen: Timestamp,
}

impl Directory {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn access_file(&self) -> PathBuf {
        self.0.join(ACCESS_FILE)
    }

    /// Reads `access.json`; a file that is not there says nothing.
    ///
    /// # Errors
    /// When there is one that can't be used: why, in words.
    pub(super) fn read_access(&self) -> Result<Kept, String> {
        let Some(file) = read::<AccessFile>(&self.access_file())? else { return Ok(Kept::default()) };
        if file.version != VERSION {
            return Err(format!("it is of version {}, and this pixelsink knows {VERSION}", file.version));
        }
        if let Some(hash) = &file.password
            && password_auth::is_hash_obsolete(hash).is_err()
        {
            return Err("its password hash is damaged".to_owned());
        }
        let token = |entry: TokenEntry| -> Result<Token, String> {
            let damaged = || format!("its token `{}` is damaged", entry.name.escape_default());
            let scope = entry.scope.parse::<Scope>().map_err(|()| damaged())?;
            let fingerprint = Fingerprint::from_hex(&entry.sha256).ok_or_else(damaged)?;
            Ok(Token { name: entry.name, scope, created: entry.created, fingerprint })
        };
        let tokens = file.tokens.into_iter().map(token).collect::<Result<_, String>>()?;
        Ok(Kept { password: file.password, tokens })
    }

    pub(super) fn write_access(&self, kept: &Kept) -> io::Result<()> {
        let entry = |token: &Token| TokenEntry {
            name: token.name.clone(),
            scope: token.scope.as_str().to_owned(),
            sha256: token.fingerprint.to_hex(),
            created: token.created,
        };
        let tokens = kept.tokens.iter().map(entry).collect();
        let file = AccessFile { version: VERSION, password: kept.password.clone(), tokens };
        write(&self.access_file(), &file)
    }

    /// Puts a file that can't be used aside, so that nothing of it is lost.
    pub(super) fn set_aside(&self) -> io::Result<()> {
        match fs::rename(self.access_file(), self.0.join(format!("{ACCESS_FILE}.damaged"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads `sessions.json`.
    pub(super) fn read_sessions(&self) -> Result<Vec<Session>, String> {
        let Some(file) = read::<SessionsFile>(&self.0.join(SESSIONS_FILE))? else { return Ok(Vec::new()) };
        if file.version != VERSION {
            return Err(format!("it is of version {}, and this pixelsink knows {VERSION}", file.version));
        }
        let session = |entry: SessionEntry| {
            let fingerprint = Fingerprint::from_hex(&entry.sha256)?;
            Some(Session { fingerprint, created: entry.created, seen: entry.seen })
        };
        Ok(file.sessions.into_iter().filter_map(session).collect())
    }

    pub(super) fn write_sessions(&self, sessions: &[Session]) -> io::Result<()> {
        let entry = |session: &Session| SessionEntry {
            sha256: session.fingerprint.to_hex(),
            created: session.created,
            seen: session.seen,
        };
        let file = SessionsFile { version: VERSION, sessions: sessions.iter().map(entry).collect() };
        write(&self.0.join(SESSIONS_FILE), &file)
    }
}

impl std::str::FromStr for Scope {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            _ => Err(()),
        }
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, String> {
    // Opening a pipe would wait for its other end for ever.
    let is_file = match fs::metadata(path) {
        Ok(metadata) => metadata.is_file(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if !is_file {
        return Err("it is not a file".to_owned());
    }
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(FILE_SIZE_MAX).read_to_end(&mut text).map_err(|error| error.to_string())?;
    serde_json::from_slice(&text).map(Some).map_err(|error| format!("it is damaged: {error}"))
}

/// Writes so that a power cut leaves the old file or the new one, and only its owner can read either.
fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(value)?;
    let beside = path.with_extension("json.new");
    // One that an earlier run left behind may have other permissions.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_synced(&beside, &text).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // A full disk is not to be filled further by what was left half-written.
        let _ = fs::remove_file(&beside);
    } else if let Some(directory) = path.parent().and_then(|directory| File::open(directory).ok()) {
        // The new file is in force; where this fails, only a power cut within seconds brings the old one back.
        let _ = directory.sync_all();
    }
    written
}

fn write_synced(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}
