//! What can go wrong with the database, sorted by what is to be done about it.

use rusqlite::{Error, ErrorCode};

use super::HistoryError;

/// What went wrong with the database.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// The file is not what it should be: it is set aside.
    Damaged(String),
    /// The file was written by a later version of this program: it is set aside.
    Newer {
        /// The version of its tables.
        version: i64,
        /// The latest one that is known here.
        newest: i64,
    },
    /// The file can't be written now (full, read-only, locked, gone bad): it is tried again.
    Unwritable(String),
    /// A question took longer than it may.
    TooSlow,
    /// SQLite refused for another reason.
    Refused(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            Some(ErrorCode::OperationInterrupted) => Self::TooSlow,
            Some(
                ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::SystemIoFailure,
            ) => Self::Unwritable(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Unwritable(error.to_string())
    }
}

impl From<Fault> for HistoryError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooSlow => Self::Database("this took too long; ask for a shorter span".to_owned()),
            Fault::Newer { .. } => Self::Database("the file was written by a newer version".to_owned()),
            Fault::Damaged(why) | Fault::Unwritable(why) | Fault::Refused(why) => Self::Database(why),
        }
    }
}
