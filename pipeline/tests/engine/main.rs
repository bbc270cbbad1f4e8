//! The engine as its users see it: a document in, components in memory, paused time.

#[cfg(test)]
mod delivery;
#[cfg(test)]
mod durable;
#[cfg(test)]
mod graph;
#[cfg(test)]
mod lanes;
#[cfg(test)]
mod parking;
#[cfg(test)]
mod start_and_stop;
#[cfg(test)]
mod support;
#[cfg(test)]
mod suspend;
