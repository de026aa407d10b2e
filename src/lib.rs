#![doc = include_str!("README.md")]

pub mod clock;
pub mod name;
pub mod wire;
pub mod list;
pub mod ruleset;
pub mod tracker;
pub mod device;
pub mod policy;
pub mod event;
pub mod command;
pub mod resolve;
pub mod server;
pub mod feed;
pub mod history;
