//! Listeners, limits, and the one function that decides about a query.
//!
//! Sockets and framing are hickory-server's; what is answered is decided in [`Responder::respond`], which speaks bytes, so
//! that every transport gives the same answers. This part knows no lists, no history and no page.

mod access;
mod handler;
mod holder;
mod listener;
mod responder;
mod sinkhole;

pub use access::{Access, Limits};
pub use listener::{BindError, Listener};
pub use responder::{Responder, Transport};

use std::net::SocketAddr;

/// What the server needs to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerOptions {
    /// The addresses to listen on, UDP and TCP each.
    pub listen: Vec<SocketAddr>,
    /// Who may ask, and how much.
    pub access: Access,
}
