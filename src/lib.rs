#![doc = include_str!("README.md")]

pub mod clock;
pub mod command;
pub mod device;
pub mod event;
pub mod feed;
pub mod history;
pub mod list;
pub mod name;
pub mod policy;
pub mod ruleset;
pub mod tracker;
