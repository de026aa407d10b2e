//! The Unix socket over which the command line speaks to the daemon.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::net::UnixListener;

use crate::cli::SOCKET_NAME;

/// Where the socket belongs: the service's runtime directory, or else beside the data.
pub(super) fn path(data_dir: Option<&Path>) -> Option<PathBuf> {
    let runtime = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute());
    let directory = runtime.or_else(|| data_dir.map(Path::to_owned))?;
    Some(directory.join(SOCKET_NAME))
}

/// Binds it; who may connect is told by its permissions: the daemon's user and its group.
pub(super) fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        anyhow::bail!(
            "another pixelsink answers at {}; stop it first, or give this one another data_dir",
            path.display()
        );
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error)
                .with_context(|| format!("removing the socket {} of an earlier run", path.display()));
        }
        _ => {}
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("listening on the socket {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .with_context(|| format!("setting the permissions of {}", path.display()))?;
    Ok(listener)
}
