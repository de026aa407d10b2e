//! Listeners, limits, and the one function that decides about a query.
//!
//! What is answered is decided by [`Responder`] alone, which speaks bytes, so that every transport gives the same answers: UDP by
//! threads of its own (`udp`), everything else asynchronously ([`Responder::respond`]). This part knows no lists, no history and no page.

mod access;
mod handler;
mod holder;
mod listener;
mod responder;
mod sinkhole;
mod udp;

pub use access::{Access, Limits};
pub use listener::{BindError, Listener};
pub use responder::{Responder, Transport};

use std::net::SocketAddr;

/// What the server needs to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerOptions {
    /// The addresses to listen on, UDP and TCP each.
    pub listen: Vec<SocketAddr>,
    /// How many threads answer over UDP at each address. 0: one for each core, four at most.
    pub threads: u32,
    /// Who may ask, and how much.
    pub access: Access,
}
