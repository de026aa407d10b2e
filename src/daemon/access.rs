//! How a person learns of the code that sets the first password.

use tracing::info;

use crate::access::Access;
use crate::config::Config;

/// Tells the code, where others than this machine reach the page and no password was ever set.
pub(super) fn tell_code(access: &Access, config: &Config) {
    let is_reachable = config.web.listen.iter().any(|listen| !listen.ip().is_loopback());
    if let Some(code) = access.code().filter(|_| is_reachable) {
        info!(
            "nobody on the network gets to the page before a password is set: open it and use the code {code}, or run `pixelsink passwd`"
        );
    }
}
