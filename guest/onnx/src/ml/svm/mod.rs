//! Support vector machines.

mod classifier;
mod kernel;
mod probability;
mod regressor;

pub(super) use classifier::classifier;
pub(super) use regressor::regressor;
