//! The history as a whole, under what may happen to it.

mod answers;
mod bounds;
mod erase;
mod faults;
mod handle;
mod model;
