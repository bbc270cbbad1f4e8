//! The engine as its users see it: a document in, components in memory, paused time.

mod delivery;
mod graph;
mod lanes;
mod start_and_stop;
mod support;
