//! All integration tests, in one crate so that they link once. They drive the built binary over real sockets.
#![cfg(test)]

mod access;
mod architecture;
mod blocklist;
mod cache;
mod cli;
mod clock;
mod companies;
mod devices;
mod disk;
mod dns;
mod doctor;
mod faults;
mod heavy_lists;
mod history;
mod kept;
mod kills;
mod lists;
mod local;
mod naive;
mod network;
mod own_rules;
mod properties;
mod real_lists;
mod scenarios;
mod service;
mod shipped;
mod state_files;
mod storms;
mod support;
mod tcp;
mod trackers;
mod transports;
mod upstreams;
mod web;
