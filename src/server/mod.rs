//! Listeners, limits, and the one function that decides about a query.
//!
//! What is answered is decided by [`Responder`] alone, which speaks bytes, so that every transport gives the same answers: UDP by
//! threads of its own (`udp`), TCP asynchronously (`tcp`, by [`Responder::respond`]). This part knows no lists, no history and no page.

mod access;
mod connections;
mod holder;
mod house;
mod limits;
mod listener;
pub mod probe;
mod responder;
mod sinkhole;
mod tcp;
mod udp;

pub use access::{Access, is_of_the_house};
pub use holder::of as holder_of_port;
pub use limits::{LimitCounts, Limits, QUERIES_PER_SECOND_MAX, RESPONSES_PER_SECOND_MAX, Rate, Waiting};
pub use listener::{BindError, Listener, Open};
pub use responder::{IN_FLIGHT_MAX, Responder, Transport};

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

#[cfg(test)]
mod tests;
