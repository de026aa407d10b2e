#![doc = include_str!("README.md")]

pub mod clock;
pub mod command;
pub mod config;
pub mod device;
pub mod discovery;
pub mod event;
pub mod feed;
pub mod history;
pub mod list;
pub mod name;
pub mod policy;
pub mod resolve;
pub mod ruleset;
pub mod server;
pub mod tracker;
pub mod wire;
